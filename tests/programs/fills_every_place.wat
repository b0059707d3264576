;; Checks every place in which an earlier instance may have left something, and leaves a mark there.
;;
;; Reports how many places are not as the component declares them. Then leaves the mark of its request (`X-Mark`) in all
;; of them: in a memory without an image and in one with an image, both as declared and grown; in a table; in globals;
;; on the stack. The report is a line of numbers: words of the memory without an image, words of the memory with an
;; image, table entries, globals. The path says how it ends: `/traps` with a trap, `/spins` never, `/waits` once it has
;; the request's body. Otherwise it returns.
;;
;; If there is not enough memory, it works with what it has.
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
    (import "memory" "memory" (memory $ours 1))
    (memory $bare 1)
    (memory $image 2)
    ;; More than the pool wipes itself.
    (table $table 15000 funcref)
    (elem (table $table) (i32.const 7000) func $entry)
    (global $a (mut i64) (i64.const 11))
    (global $b (mut i32) (i32.const 12))
    (global $c (mut f64) (f64.const 13))
    (global $d (mut funcref) (ref.null func))
    (data (memory $ours) (i32.const 16) "PATH_INFO")
    (data (memory $ours) (i32.const 32) "HTTP_X_MARK")
    (data (memory $ours) (i32.const 48) "200 OK")
    (data (memory $ours) (i32.const 64) "report: ")
    ;; In the first page of the operating system and in the last but one.
    (data (memory $image) (i32.const 8) "unspoilt")
    (data (memory $image) (i32.const 122880) "unspoilt")
    (func $entry)

    ;; Words that are not zero.
    (func $look_at_bare (result i32)
      (local $at i32) (local $end i32) (local $found i32)
      (drop (memory.grow $bare (i32.const 127)))
      (local.set $end (i32.mul (memory.size $bare) (i32.const 65536)))
      (loop $next
        (local.set $found
          (i32.add (local.get $found) (i64.ne (i64.load $bare (local.get $at)) (i64.const 0))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (local.get $found))

    ;; Words that are neither zero nor as declared.
    (func $look_at_image (result i32)
      (local $at i32) (local $end i32) (local $found i32)
      (drop (memory.grow $image (i32.const 30)))
      (local.set $end (i32.mul (memory.size $image) (i32.const 65536)))
      (loop $next
        (local.set $found (i32.add (local.get $found) (i64.ne
          (i64.load $image (local.get $at))
          (select
            ;; "unspoilt"
            (i64.const 0x746c696f70736e75)
            (i64.const 0)
            (i32.or (i32.eq (local.get $at) (i32.const 8)) (i32.eq (local.get $at) (i32.const 122880)))))))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (local.get $found))

    ;; Entries that are set although they should not be, or the reverse.
    (func $look_at_table (result i32)
      (local $at i32) (local $found i32)
      (loop $next
        (local.set $found (i32.add (local.get $found) (i32.ne
          (ref.is_null (table.get $table (local.get $at)))
          (i32.ne (local.get $at) (i32.const 7000)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (table.size $table))))
      (local.get $found))

    (func $look_at_globals (result i32)
      (i32.add
        (i32.add (i64.ne (global.get $a) (i64.const 11)) (i32.ne (global.get $b) (i32.const 12)))
        (i32.add (f64.ne (global.get $c) (f64.const 13)) (i32.eqz (ref.is_null (global.get $d))))))

    ;; Repeats the mark, which the host has put into the memory for exchanges.
    (func $fill (param $mark i32)
      (local $at i32) (local $end i32)
      (memory.fill $bare (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size $bare) (i32.const 65536)))
      (memory.fill $image (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size $image) (i32.const 65536)))
      (local.set $end (i32.mul (memory.size $bare) (i32.const 65536)))
      (loop $next
        (memory.copy $bare $ours (local.get $at) (local.get $mark) (i32.const 24))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (local.set $at (i32.const 0))
      (local.set $end (i32.mul (memory.size $image) (i32.const 65536)))
      (loop $next
        (memory.copy $image $ours (local.get $at) (local.get $mark) (i32.const 24))
        (local.set $at (i32.add (local.get $at) (i32.const 4096)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (drop (table.grow $table (ref.func $entry) (i32.const 4000)))
      (table.fill $table (i32.const 0) (ref.func $entry) (table.size $table))
      (global.set $a (i64.load $ours (local.get $mark)))
      (global.set $b (i32.load $ours (local.get $mark)))
      (global.set $c (f64.load $ours (local.get $mark)))
      (global.set $d (ref.func $entry))
      (drop (call $deep (i32.const 2000) (i64.load $ours (local.get $mark)))))

    ;; Puts a word all over the stack. Values that are needed after a call are kept there.
    (func $deep (param $left i32) (param $word i64) (result i64)
      (local $a i64) (local $b i64) (local $c i64)
      (if (i32.eqz (local.get $left)) (then (return (local.get $word))))
      (local.set $a (i64.xor (local.get $word) (i64.extend_i32_u (local.get $left))))
      (local.set $b (i64.rotl (local.get $word) (i64.extend_i32_u (local.get $left))))
      (local.set $c (call $deep (i32.sub (local.get $left) (i32.const 1)) (local.get $word)))
      (i64.add (i64.add (local.get $a) (local.get $b)) (i64.add (local.get $c) (local.get $word))))

    ;; Ten digits, followed by a byte.
    (func $print (param $at i32) (param $number i32) (param $behind i32)
      (local $digit i32)
      (local.set $digit (i32.add (local.get $at) (i32.const 10)))
      (i32.store8 $ours (local.get $digit) (local.get $behind))
      (loop $next
        (local.set $digit (i32.sub (local.get $digit) (i32.const 1)))
        (i32.store8 $ours (local.get $digit)
          (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
        (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
        (br_if $next (i32.gt_u (local.get $digit) (local.get $at)))))

    (func (export "handle") (result i32)
      (local $ending i32) (local $mark i32)
      (call $print (i32.const 72) (call $look_at_bare) (i32.const 32))
      (call $print (i32.const 83) (call $look_at_image) (i32.const 32))
      (call $print (i32.const 94) (call $look_at_table) (i32.const 32))
      (call $print (i32.const 105) (call $look_at_globals) (i32.const 10))
      (call $get (i32.const 32) (i32.const 11) (i32.const 128))
      (local.set $mark (i32.load $ours (i32.const 132)))
      (call $fill (local.get $mark))
      (call $start (i32.const 48) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 128))
      (call $write (i32.const 64) (i32.const 52) (i32.const 128))
      (call $write (local.get $mark) (i32.const 24) (i32.const 128))
      (call $get (i32.const 16) (i32.const 9) (i32.const 128))
      ;; The second byte of the path. If the path has only one byte, whatever follows it.
      (local.set $ending (i32.load8_u $ours offset=1 (i32.load $ours (i32.const 132))))
      (if (i32.eq (local.get $ending) (i32.const 116)) (then unreachable))
      (if (i32.eq (local.get $ending) (i32.const 115)) (then (loop $again (br $again))))
      (if (i32.eq (local.get $ending) (i32.const 119)) (then (call $read (i32.const 100) (i32.const 128))
        (call $read (i32.const 100) (i32.const 128))))
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
