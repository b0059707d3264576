;; Computes forever during instantiation, before it can be called.
(component
  (core module $module
    (memory (export "memory") 1)
    (func (export "handle") (result i32) (i32.const 0))
    (func $spin (loop $again (br $again)))
    (start $spin))
  (core instance $instance (instantiate $module))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
