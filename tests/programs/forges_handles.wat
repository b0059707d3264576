;; Uses a handle that it does not own.
(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core module $module
    (import "poll" "block" (func $block (param i32)))
    (memory (export "memory") 1)
    (func (export "handle") (result i32)
      (call $block (i32.const 12345))
      (i32.const 0)))
  (core instance $instance (instantiate $module (with "poll" (instance (export "block" (func $block))))))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $instance "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
