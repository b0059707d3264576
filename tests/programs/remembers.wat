;; Checks what another instance has left in its memory, its table and its globals, and fills them.
;;
;; Answers with the number of 8-byte words and entries that were left (`0000000000` if there are none). The path says
;; how it ends: `/traps` with a trap, `/spins` never, `/waits` and `/wee` once it has the request's body. Otherwise it
;; returns. The memory has 16 MiB, for `/wee` only 192 KiB.
(component
  (import "wasmserve:gateway/environ@0.1.0" (instance $environ
    (export "get" (func (param "name" string) (result (option (list u8)))))))
  (import "wasmserve:gateway/input@0.1.0" (instance $input
    (type $error (variant
      (case "disconnected") (case "malformed") (case "too-large") (case "timed-out")))
    (export "read-error" (type $read-error (eq $error)))
    (export "read" (func (param "max" u32) (result (result (list u8) (error $read-error)))))))
  (import "wasmserve:gateway/response@0.1.0" (instance $response
    (type $fields (list (tuple string (list u8))))
    (type $start (variant
      (case "already-started") (case "headers-sent") (case "bad-status") (case "bad-header" string)
      (case "hop-by-hop" string)))
    (export "start-error" (type $start-error (eq $start)))
    (type $write (variant
      (case "not-started") (case "disconnected") (case "past-content-length") (case "timed-out")))
    (export "write-error" (type $write-error (eq $write)))
    (export "start-response" (func
      (param "status" string) (param "headers" $fields) (param "exc-info" (option (list u8)))
      (result (result (error $start-error)))))
    (export "write" (func (param "chunk" (list u8)) (result (result (error $write-error)))))))

  ;; The first page is ours: the host's results go into its second half. Everything after it is checked and filled.
  (core module $room
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 32768))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $next) (i32.const 65536)) (then unreachable))
      (local.get $at)))
  (core instance $memory (instantiate $room))
  (core func $get (canon lower (func $environ "get")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $read (canon lower (func $input "read")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $start (canon lower (func $response "start-response")
    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
  (core func $write (canon lower (func $response "write") (memory (core memory $memory "memory"))))

  (core module $module
    (import "host" "get" (func $get (param i32 i32 i32)))
    (import "host" "read" (func $read (param i32 i32)))
    (import "host" "start" (func $start (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "host" "write" (func $write (param i32 i32 i32)))
    (import "memory" "memory" (memory 1))
    (table $table 1000 funcref)
    (elem declare func $entry)
    (global $a (mut i64) (i64.const 0))
    (global $b (mut i64) (i64.const 0))
    (data (i32.const 16) "PATH_INFO")
    (data (i32.const 32) "200 OK")
    (func $entry)

    (func $look (param $pages i32) (result i32)
      (local $at i32) (local $end i32) (local $found i32)
      (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable))
      (local.set $at (i32.const 65536))
      (local.set $end (i32.mul (memory.size) (i32.const 65536)))
      (loop $next
        (local.set $found (i32.add (local.get $found) (i64.ne (i64.load (local.get $at)) (i64.const 0))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (local.set $at (i32.const 0))
      (loop $next
        (local.set $found
          (i32.add (local.get $found) (i32.eqz (ref.is_null (table.get $table (local.get $at))))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (table.size $table))))
      (local.set $found (i32.add (local.get $found) (i64.ne (global.get $a) (i64.const 0))))
      (i32.add (local.get $found) (i64.ne (global.get $b) (i64.const 0))))

    (func $fill
      (memory.fill (i32.const 65536) (i32.const 0xa5)
        (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 65536)))
      (table.fill $table (i32.const 0) (ref.func $entry) (table.size $table))
      (global.set $a (i64.const -1))
      (global.set $b (i64.const -1)))

    ;; Ten digits at address 64.
    (func $print (param $number i32)
      (local $at i32)
      (local.set $at (i32.const 74))
      (loop $next
        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
        (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
        (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
        (br_if $next (i32.gt_u (local.get $at) (i32.const 64)))))

    (func (export "handle") (result i32)
      (local $ending i32)
      (call $get (i32.const 16) (i32.const 9) (i32.const 128))
      ;; The second byte of the path. If the path has only one byte, whatever follows it.
      (local.set $ending (i32.load8_u offset=1 (i32.load (i32.const 132))))
      (call $print (call $look
        (select (i32.const 3) (i32.const 255)
          (i32.eq (i32.load8_u offset=2 (i32.load (i32.const 132))) (i32.const 101)))))
      (call $fill)
      (call $start (i32.const 32) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 128))
      (call $write (i32.const 64) (i32.const 10) (i32.const 128))
      (if (i32.eq (local.get $ending) (i32.const 116)) (then unreachable))
      (if (i32.eq (local.get $ending) (i32.const 115)) (then (loop $again (br $again))))
      (if (i32.eq (local.get $ending) (i32.const 119)) (then (call $read (i32.const 1) (i32.const 128))))
      ;; `ok`: the result area is zero.
      (i32.const 256)))
  (core instance $instance (instantiate $module
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "get" (func $get)) (export "read" (func $read)) (export "start" (func $start))
      (export "write" (func $write))))))
  (func $handle (result (result (error string)))
    (canon lift (core func $instance "handle") (memory (core memory $memory "memory"))))
  (instance $handler (export "handle" (func $handle)))
  (export "wasmserve:gateway/handler@0.1.0" (instance $handler)))
