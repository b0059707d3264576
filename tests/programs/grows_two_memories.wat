;; Grows two memories and a table in turn until one of them cannot grow, and then traps.
(component
  (core module $module
    (memory $one (export "memory") 1)
    (memory $other 1)
    (table $table 1 funcref)
    (func (export "handle") (result i32)
      (loop $again
        ;; 1 MiB each, and 1,000 elements.
        (drop (table.grow $table (ref.null func) (i32.const 1000)))
        (br_if $again (i32.and
          (i32.ne (memory.grow $one (i32.const 16)) (i32.const -1))
          (i32.ne (memory.grow $other (i32.const 16)) (i32.const -1)))))
      unreachable))
  (core instance $instance (instantiate $module))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
