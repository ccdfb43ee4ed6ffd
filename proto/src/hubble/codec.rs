//! Reads requests for flows without loss. Protobuf decoders drop what they do not know; a filter that is dropped shows
//! more than was asked for.

use std::any::TypeId;
use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf as _;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use super::observer::GetFlowsRequest;
use super::{GET_FLOWS_REQUEST, SCHEMA};

/// Protobuf, with an error for requests for flows that hold a field which is not known.
#[derive(Clone, Debug)]
pub struct Strict<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Strict<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Strict<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

/// The reading half.
#[derive(Clone, Debug)]
pub struct StrictDecoder<U>(PhantomData<U>);

impl<U: Message + Default + 'static> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let message = U::decode(bytes.clone()).map_err(|error| Status::internal(error.to_string()))?;
        if TypeId::of::<U>() == TypeId::of::<GetFlowsRequest>()
            && let Some(path) = SCHEMA.unknown(GET_FLOWS_REQUEST, &bytes)
        {
            return Err(Status::invalid_argument(format!("this server does not know the field {path}")));
        }
        Ok(Some(message))
    }
}
