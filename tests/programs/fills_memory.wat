;; Fills and copies all of its memory forever, with instructions that the engine cannot interrupt.
(component
  (core module $module
    (memory (export "memory") 1)
    (func (export "handle") (result i32)
      ;; 64 MiB, or what is available.
      (drop (memory.grow (i32.const 1023)))
      (loop $again
        (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))
        (memory.copy (i32.const 0) (i32.const 1) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)))
        (br $again))
      unreachable))
  (core instance $instance (instantiate $module))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
