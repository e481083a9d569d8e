use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedColumnWriter;

use crate::value::{FieldDef, Type, Value};

/// A field in Parquet's language of schemas.
pub(super) fn parquet_type(field: &FieldDef) -> String {
    let name = field.name;
    match field.ty {
        Type::Text => format!("OPTIONAL BYTE_ARRAY {name} (UTF8); "),
        Type::Int => format!("OPTIONAL INT64 {name}; "),
        Type::Bool => format!("OPTIONAL BOOLEAN {name}; "),
        Type::Time => format!("OPTIONAL INT64 {name} (TIMESTAMP(MICROS, true)); "),
        Type::List => format!(
            "REQUIRED GROUP {name} (LIST) {{ REPEATED GROUP list {{ REQUIRED BYTE_ARRAY element (UTF8); }} }} "
        ),
    }
}

/// The values of one field in a row group, as Parquet has them: those that there are, and for each place whether one is there (its
/// definition level) and, in lists, whether it belongs to the row before (its repetition level).
pub(super) struct Column {
    values: Values,
    definitions: Vec<i16>,
    /// Empty unless it is of lists.
    repetitions: Vec<i16>,
}

enum Values {
    Texts(Vec<ByteArray>),
    Numbers(Vec<i64>),
    Bools(Vec<bool>),
}

/// What a value costs beside its text: levels and handles.
const COST: usize = 16;

impl Column {
    pub(super) fn new(ty: Type) -> Self {
        let values = match ty {
            Type::Text | Type::List => Values::Texts(Vec::new()),
            Type::Int | Type::Time => Values::Numbers(Vec::new()),
            Type::Bool => Values::Bools(Vec::new()),
        };
        Self {
            values,
            definitions: Vec::new(),
            repetitions: Vec::new(),
        }
    }

    /// Adds a row's value, and returns roughly how many bytes that took. A value of another type than the column's is none, as is a time
    /// that microseconds cannot tell.
    pub(super) fn push(&mut self, value: Value<'_>) -> usize {
        match (&mut self.values, value) {
            (Values::Texts(texts), Value::List(list)) => {
                self.definitions.push(i16::from(!list.is_empty()));
                self.repetitions.push(0);
                let more = list.len().saturating_sub(1);
                self.definitions.extend(std::iter::repeat_n(1, more));
                self.repetitions.extend(std::iter::repeat_n(1, more));
                let bytes: usize = list.iter().map(|text| text.len() + COST).sum();
                texts.extend(
                    list.iter()
                        .map(|text| ByteArray::from(text.as_bytes().to_vec())),
                );
                return bytes + COST;
            }
            (Values::Texts(texts), Value::Text(text)) => {
                let bytes = text.len() + COST;
                texts.push(ByteArray::from(text.into_owned().into_bytes()));
                self.definitions.push(1);
                return bytes;
            }
            (Values::Numbers(numbers), Value::Int(number)) => {
                numbers.push(number);
                self.definitions.push(1);
            }
            (Values::Numbers(numbers), Value::Time(time)) => {
                let micros = time
                    .unix_seconds()
                    .checked_mul(1_000_000)
                    .and_then(|micros| micros.checked_add((time.subsec_nanos() / 1000).into()));
                numbers.extend(micros);
                self.definitions.push(i16::from(micros.is_some()));
            }
            (Values::Bools(bools), Value::Bool(value)) => {
                bools.push(value);
                self.definitions.push(1);
            }
            _ => self.definitions.push(0),
        }
        COST
    }

    pub(super) fn write(
        &self,
        writer: &mut SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        let definitions = Some(&self.definitions[..]);
        let repetitions = (!self.repetitions.is_empty()).then_some(&self.repetitions[..]);
        match &self.values {
            Values::Texts(texts) => {
                writer
                    .typed::<ByteArrayType>()
                    .write_batch(texts, definitions, repetitions)
            }
            Values::Numbers(numbers) => {
                writer
                    .typed::<Int64Type>()
                    .write_batch(numbers, definitions, None)
            }
            Values::Bools(bools) => {
                writer
                    .typed::<BoolType>()
                    .write_batch(bools, definitions, None)
            }
        }?;
        Ok(())
    }
}
