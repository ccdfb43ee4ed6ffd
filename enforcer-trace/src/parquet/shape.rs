//! The table of columns as Parquet's schema.

use std::sync::Arc;

use ::parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::schema::types::{Type, TypePtr};

use super::Error;
use super::columns::{Access, COLUMNS, Column};

/// The schema of every file.
///
/// # Errors
/// When the table of columns is none: never, as the tests write files.
pub(super) fn schema() -> Result<TypePtr, Error> {
    let fields = COLUMNS.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(Type::group_type_builder("record").with_fields(fields).build()?))
}

fn field(column: &Column) -> Result<TypePtr, Error> {
    let (physical, logical) = types(&column.access);
    let built = Type::primitive_type_builder(column.name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()?;
    Ok(Arc::new(built))
}

/// How a column is stored, and what it means.
pub(super) fn types(access: &Access) -> (Physical, Option<LogicalType>) {
    match access {
        Access::Instant { .. } => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::NANOS))),
        Access::Signed { .. } => (Physical::INT64, None),
        Access::Number { .. } => (Physical::INT64, Some(LogicalType::integer(64, false))),
        Access::Small { .. } => (Physical::INT32, Some(LogicalType::integer(32, false))),
        Access::Flag { .. } => (Physical::BOOLEAN, None),
        Access::Text { .. } => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Access::Json { .. } => (Physical::BYTE_ARRAY, Some(LogicalType::Json)),
        Access::Bytes { .. } => (Physical::BYTE_ARRAY, None),
    }
}
