//! Functions between a handler and the provider: they do what the host does between two components, copying what is
//! passed from the memory of one into the memory of the other.
//!
//! Here both share a memory, and each has an allocator of its own. So what is passed is copied into memory of the other
//! one's allocator, and an address in it stays one.

use anyhow::bail;
use wasm_encoder::{BlockType, Function, InstructionSink, MemArg, ValType};
use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind, abi::AbiVariant};

/// What an adapter is made from.
pub(super) struct Maker<'a> {
    pub(super) resolve: &'a Resolve,
    pub(super) sizes: &'a SizeAlign,
    /// The allocators of the two sides: `cabi_realloc`.
    pub(super) caller: u32,
    pub(super) callee: u32,
    /// The global that says whose allocator the host shall use.
    pub(super) is_provider: u32,
}

/// The function of the provider that is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) function: u32,
    /// What releases its result, if there is something to release.
    pub(super) post: Option<u32>,
}

impl Maker<'_> {
    /// The function that a handler calls for this function of the provider.
    ///
    /// # Errors
    ///
    /// It has parameters of a kind that no function of the gateway has.
    pub(super) fn adapter(&self, function: &wit_parser::Function, target: Target) -> anyhow::Result<Function> {
        let signature = self.resolve.wasm_signature(AbiVariant::GuestImport, function);
        if signature.indirect_params {
            bail!("`{}` has too many parameters", function.name);
        }
        let mut body = Body::new(self, u32::try_from(signature.params.len())?);
        body.sink().i32_const(1).global_set(self.is_provider);
        let mut local = 0;
        for param in &function.params {
            body.pass(&mut local, &param.ty)?;
        }
        (0..local).for_each(|local| _ = body.sink().local_get(local));
        body.sink().call(target.function);
        if signature.retptr {
            let ty = function.result.expect("it returns something");
            let size = i32::try_from(self.sizes.size(&ty).size_wasm32())?;
            let result = body.local();
            body.sink().local_set(result);
            body.sink().local_get(local).local_get(result).i32_const(size).memory_copy(0, 0);
            body.own(local, &ty, self.caller)?;
            if let Some(post) = target.post {
                body.sink().local_get(result).call(post);
            }
        }
        body.sink().i32_const(0).global_set(self.is_provider);
        Ok(body.finish())
    }

    /// The function that the host calls: begins the exchange, calls the handler, and ends the exchange.
    pub(super) fn driver(&self, begin: u32, handle: Target, end: u32) -> Function {
        let mut body = Body::new(self, 2);
        let (result, text, length) = (body.local(), body.local(), body.local());
        let at = |offset| MemArg { offset, align: 0, memory_index: 0 };
        let mut code = body.sink();
        code.i32_const(1).global_set(self.is_provider).local_get(0).local_get(1).call(begin);
        code.i32_const(0).global_set(self.is_provider).call(handle.function).local_set(result);
        code.i32_const(1).global_set(self.is_provider);
        code.local_get(result).i32_load8_u(at(0)).if_(BlockType::Empty);
        code.local_get(result).i32_load(at(4)).local_set(text);
        code.local_get(result).i32_load(at(8)).local_set(length);
        body.copy(text, length, &Type::U8, self.callee).expect("bytes can be copied");
        let mut code = body.sink();
        code.end();
        code.local_get(result).i32_load8_u(at(0)).local_get(text).local_get(length).call(end);
        code.i32_const(0).global_set(self.is_provider);
        if let Some(post) = handle.post {
            code.local_get(result).call(post);
        }
        body.finish()
    }

    /// The allocator that the host calls.
    pub(super) fn realloc(&self) -> Function {
        let mut body = Body::new(self, 4);
        let mut code = body.sink();
        code.global_get(self.is_provider).if_(BlockType::Result(ValType::I32));
        code.local_get(0).local_get(1).local_get(2).local_get(3).call(self.callee).else_();
        code.local_get(0).local_get(1).local_get(2).local_get(3).call(self.caller).end();
        body.finish()
    }
}

/// The body of a function that is being made. All locals are of the type i32.
struct Body<'a> {
    maker: &'a Maker<'a>,
    params: u32,
    locals: u32,
    code: Vec<u8>,
}

impl<'a> Body<'a> {
    fn new(maker: &'a Maker<'a>, params: u32) -> Self {
        Self { maker, params, locals: 0, code: Vec::new() }
    }

    fn sink(&mut self) -> InstructionSink<'_> {
        InstructionSink::new(&mut self.code)
    }

    fn local(&mut self) -> u32 {
        self.locals += 1;
        self.params + self.locals - 1
    }

    fn finish(mut self) -> Function {
        self.sink().end();
        let mut function = Function::new([(self.locals, ValType::I32)]);
        function.raw(self.code);
        function
    }

    fn kind(&self, ty: &Type) -> Option<&'a TypeDefKind> {
        let mut ty = ty;
        loop {
            let Type::Id(id) = ty else { return None };
            match &self.maker.resolve.types[*id].kind {
                TypeDefKind::Type(other) => ty = other,
                kind => return Some(kind),
            }
        }
    }

    /// The type without its other names.
    fn plain(&self, ty: &Type) -> Type {
        match ty {
            Type::Id(id) => match &self.maker.resolve.types[*id].kind {
                TypeDefKind::Type(other) => self.plain(other),
                _ => *ty,
            },
            _ => *ty,
        }
    }

    /// The payloads of the cases of a type, in order, and whether it is one that has cases.
    fn cases(&self, ty: &Type) -> Option<Vec<Option<Type>>> {
        Some(match self.kind(ty)? {
            TypeDefKind::Option(some) => vec![None, Some(*some)],
            TypeDefKind::Result(result) => vec![result.ok, result.err],
            TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| case.ty).collect(),
            TypeDefKind::Enum(of) => vec![None; of.cases.len()],
            _ => return None,
        })
    }

    /// The types of the fields of a type, if it has fields.
    fn fields(&self, ty: &Type) -> Option<Vec<Type>> {
        Some(match self.kind(ty)? {
            TypeDefKind::Tuple(tuple) => tuple.types.clone(),
            TypeDefKind::Record(record) => record.fields.iter().map(|field| field.ty).collect(),
            _ => return None,
        })
    }

    /// The type of the elements of a list or a text.
    fn element(&self, ty: &Type) -> Option<Type> {
        match self.plain(ty) {
            Type::String => Some(Type::U8),
            ty => match self.kind(&ty)? {
                TypeDefKind::List(element) => Some(*element),
                _ => None,
            },
        }
    }

    /// Whether values of a type contain addresses.
    fn has_addresses(&self, ty: &Type) -> bool {
        let any = |types: Vec<Type>| types.iter().any(|ty| self.has_addresses(ty));
        self.element(ty).is_some()
            || self.fields(ty).is_some_and(any)
            || self.cases(ty).is_some_and(|cases| any(cases.into_iter().flatten().collect()))
    }

    /// Passes a parameter whose parts are in the locals from `local` on, and moves `local` behind it.
    fn pass(&mut self, local: &mut u32, ty: &Type) -> anyhow::Result<()> {
        if let Some(element) = self.element(ty) {
            self.copy(*local, *local + 1, &element, self.maker.callee)?;
            *local += 2;
        } else if let Some(fields) = self.fields(ty) {
            for field in &fields {
                self.pass(local, field)?;
            }
        } else if let Some(cases) = self.cases(ty) {
            let case = *local;
            *local += 1;
            let payloads: Vec<_> =
                (0..).zip(&cases).filter_map(|(case, payload): (i32, _)| Some((case, payload.as_ref()?))).collect();
            // With several, their parts would share locals.
            let [(number, payload)] = payloads[..] else {
                if payloads.is_empty() {
                    return Ok(());
                }
                bail!("a parameter has several cases");
            };
            self.sink().local_get(case).i32_const(number).i32_eq().if_(BlockType::Empty);
            self.pass(local, payload)?;
            self.sink().end();
        } else {
            match self.plain(ty) {
                Type::Bool | Type::U8 | Type::U16 | Type::U32 | Type::S8 | Type::S16 | Type::S32 | Type::Char => {
                    *local += 1
                }
                other => bail!("a parameter is of the type {other:?}"),
            }
        }
        Ok(())
    }

    /// Copies the elements at the address in one local, whose number is in another one, into memory of an allocator, and
    /// sets the address to the copy's.
    fn copy(&mut self, address: u32, length: u32, element: &Type, realloc: u32) -> anyhow::Result<()> {
        let size = i32::try_from(self.maker.sizes.size(element).size_wasm32())?;
        let align = i32::try_from(self.maker.sizes.align(element).align_wasm32())?;
        let copy = self.local();
        self.sink().local_get(length).if_(BlockType::Empty);
        self.sink().i32_const(0).i32_const(0).i32_const(align);
        self.sink().local_get(length).i32_const(size).i32_mul().call(realloc).local_tee(copy);
        self.sink().local_get(address).local_get(length).i32_const(size).i32_mul().memory_copy(0, 0);
        self.sink().local_get(copy).local_set(address);
        if self.has_addresses(element) {
            let end = self.local();
            self.sink().local_get(copy).local_get(length).i32_const(size).i32_mul().i32_add().local_set(end);
            self.sink().loop_(BlockType::Empty);
            self.own(copy, element, realloc)?;
            self.sink().local_get(copy).i32_const(size).i32_add().local_tee(copy);
            self.sink().local_get(end).i32_ne().br_if(0).end();
        }
        self.sink().end();
        Ok(())
    }

    /// Copies what the value at the address in a local leads to into memory of an allocator.
    fn own(&mut self, address: u32, ty: &Type, realloc: u32) -> anyhow::Result<()> {
        let at = |offset| MemArg { offset, align: 0, memory_index: 0 };
        if !self.has_addresses(ty) {
            return Ok(());
        }
        if let Some(element) = self.element(ty) {
            let (list, length) = (self.local(), self.local());
            self.sink().local_get(address).i32_load(at(0)).local_set(list);
            self.sink().local_get(address).i32_load(at(4)).local_set(length);
            self.copy(list, length, &element, realloc)?;
            self.sink().local_get(address).local_get(list).i32_store(at(0));
        } else if let Some(fields) = self.fields(ty) {
            for (offset, field) in self.maker.sizes.field_offsets(&fields) {
                self.own_at(address, offset.size_wasm32(), field, realloc)?;
            }
        } else if let Some(cases) = self.cases(ty) {
            if cases.len() > 256 {
                bail!("a type has more than 256 cases");
            }
            let tag = wit_parser::Int::U8;
            let offset = self.maker.sizes.payload_offset(tag, cases.iter().map(Option::as_ref)).size_wasm32();
            for (number, payload) in (0..).zip(&cases) {
                let Some(payload) = payload.as_ref().filter(|payload| self.has_addresses(payload)) else { continue };
                self.sink().local_get(address).i32_load8_u(at(0)).i32_const(number).i32_eq().if_(BlockType::Empty);
                self.own_at(address, offset, payload, realloc)?;
                self.sink().end();
            }
        }
        Ok(())
    }

    fn own_at(&mut self, address: u32, offset: usize, ty: &Type, realloc: u32) -> anyhow::Result<()> {
        if !self.has_addresses(ty) {
            return Ok(());
        }
        let inner = self.local();
        self.sink().local_get(address).i32_const(i32::try_from(offset)?).i32_add().local_set(inner);
        self.own(inner, ty, realloc)
    }
}
