;; Fills and copies a table forever, with instructions that the engine cannot interrupt.
(component
  (core module $module
    (memory (export "memory") 1)
    (table $table 10000 funcref)
    (elem declare func $entry)
    (func $entry)
    (func (export "handle") (result i32)
      (loop $again
        (table.fill $table (i32.const 0) (ref.func $entry) (table.size $table))
        (table.copy $table $table (i32.const 0) (i32.const 1) (i32.sub (table.size $table) (i32.const 1)))
        (br $again))
      unreachable))
  (core instance $instance (instantiate $module))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
