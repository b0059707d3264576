;; Reads past the end of its memory.
(component
  (core module $module
    (memory (export "memory") 1)
    (func (export "handle") (result i32)
      (i32.load (i32.const 65536))))
  (core instance $instance (instantiate $module))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
