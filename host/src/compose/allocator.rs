//! An allocator for modules that are made here and allocate little.

use wasm_encoder::{BlockType, Function, ValType};

/// An allocator that frees nothing: `cabi_realloc`. `top` is the global with the address of the free memory.
pub(super) fn bump(top: u32) -> Function {
    let (old, old_size, align, size) = (0, 1, 2, 3);
    let (address, pages) = (4, 5);
    let mut realloc = Function::new([(2, ValType::I32)]);
    let mut code = realloc.instructions();
    // address = (top + align - 1) & -align; top = address + size
    code.global_get(top).local_get(align).i32_const(1).i32_sub().i32_add();
    code.i32_const(0).local_get(align).i32_sub().i32_and().local_tee(address);
    code.local_get(size).i32_add().global_set(top);
    // How many pages of 64 KiB are missing.
    code.global_get(top)
        .i32_const(0xffff)
        .i32_add()
        .i32_const(16)
        .i32_shr_u()
        .memory_size(0)
        .i32_sub()
        .local_tee(pages);
    code.i32_const(0).i32_gt_s().if_(BlockType::Empty);
    code.local_get(pages).memory_grow(0).i32_const(-1).i32_eq().if_(BlockType::Empty).unreachable().end().end();
    code.local_get(address).local_get(old).local_get(old_size).memory_copy(0, 0);
    code.local_get(address).end();
    realloc
}
