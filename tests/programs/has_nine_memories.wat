;; Has nine memories, which is more than an instance may have.
(component
  (core module $module
    (memory (export "memory") 1)
    (func (export "handle") (result i32) unreachable))
  (core instance (instantiate $module))
  (core instance (instantiate $module))
  (core instance (instantiate $module))
  (core instance (instantiate $module))
  (core instance (instantiate $module))
  (core instance (instantiate $module))
  (core instance (instantiate $module))
  (core instance (instantiate $module))
  (core instance $instance (instantiate $module))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
