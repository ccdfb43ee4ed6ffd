//! Fields of messages as cells of a table. A field that is empty in the sense of its message (no text, zero where zero
//! means "not known") is a null; a field that means something at zero is always a value.

/// A field of a message.
pub(super) trait Cell {
    /// As it is taken out.
    type Shown<'a>
    where
        Self: 'a;
    /// As it is put back.
    type Owned;

    /// The value, or nothing where it says nothing.
    fn given(&self) -> Option<Self::Shown<'_>>;

    /// Puts a value back.
    fn put(&mut self, value: Self::Owned);
}

/// A field that is told even when it is empty.
pub(super) trait Whole: Cell {
    /// The value, whatever it is.
    fn whole(&self) -> Self::Shown<'_>;
}

impl Cell for String {
    type Shown<'a> = &'a str;
    type Owned = String;

    fn given(&self) -> Option<&str> {
        (!self.is_empty()).then_some(self)
    }

    fn put(&mut self, value: String) {
        *self = value;
    }
}

impl Whole for String {
    fn whole(&self) -> &str {
        self
    }
}

impl Cell for Vec<u8> {
    type Shown<'a> = &'a [u8];
    type Owned = Vec<u8>;

    fn given(&self) -> Option<&[u8]> {
        (!self.is_empty()).then_some(self)
    }

    fn put(&mut self, value: Vec<u8>) {
        *self = value;
    }
}

macro_rules! plain {
    ($($type:ty)+) => {$(
        impl Cell for $type {
            type Shown<'a> = $type;
            type Owned = $type;

            fn given(&self) -> Option<$type> {
                (*self != <$type>::default()).then_some(*self)
            }

            fn put(&mut self, value: $type) {
                *self = value;
            }
        }

        impl Whole for $type {
            fn whole(&self) -> $type {
                *self
            }
        }
    )+};
}

plain!(u64 u32 bool);

impl Cell for Option<u32> {
    type Shown<'a> = u32;
    type Owned = u32;

    fn given(&self) -> Option<u32> {
        *self
    }

    fn put(&mut self, value: u32) {
        *self = Some(value);
    }
}
