//! The JSON Schema of a manifest, made from the same table of keys that the reader compares files with.

use serde_json::{Map, Value, json};

use crate::domain::manifest::keys::{SEVERAL_OBJECT, SINGLE_OBJECT};
use crate::domain::manifest::shape::{Duty, MAX_ITEMS, Object, Shape, Word};

/// The schema (draft 2020-12) as one JSON value, for editors and for `liftlock schema`.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "liftlock manifest",
        "if": { "type": "object", "required": ["pipelines"] },
        "then": object(&SEVERAL_OBJECT),
        "else": object(&SINGLE_OBJECT),
    })
}

fn object(object: &'static Object) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in object.all_keys() {
        let mut value = shape(&key.shape);
        if let Value::Object(fields) = &mut value {
            fields.insert("description".to_owned(), json!(key.about));
            if matches!(key.duty, Duty::AliasOf(_)) {
                fields.insert("deprecated".to_owned(), json!(true));
            }
        }
        properties.insert(key.name.to_owned(), value);
        if matches!(key.duty, Duty::Required) {
            required.push(key.name);
        }
    }
    let mut out = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let Value::Object(fields) = &mut out {
        if !required.is_empty() {
            fields.insert("required".to_owned(), json!(required));
        }
        if !object.one_of.is_empty() {
            let choices: Vec<Value> = object.one_of.iter().map(|k| json!({ "required": [k] })).collect();
            fields.insert("oneOf".to_owned(), json!(choices));
        }
        let exclusive = exclusions(object);
        if !exclusive.is_empty() {
            fields.insert("allOf".to_owned(), json!(exclusive));
        }
    }
    out
}

/// No two keys of a group together.
fn exclusions(object: &Object) -> Vec<Value> {
    let mut out = Vec::new();
    for group in object.exclusive {
        for (index, first) in group.iter().enumerate() {
            for second in group.iter().skip(index + 1) {
                out.push(json!({ "not": { "required": [first, second] } }));
            }
        }
    }
    out
}

fn shape(shape_of: &'static Shape) -> Value {
    match shape_of {
        Shape::Text(word) => text(word),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Count { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Integer => json!({ "type": "integer" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::Version(known) => match known.parse::<u32>() {
            Ok(number) => json!({ "enum": [number, known] }),
            Err(_) => json!({ "enum": [known] }),
        },
        Shape::List(item) => json!({ "type": "array", "maxItems": MAX_ITEMS, "items": shape(item) }),
        Shape::NoItems(_) => json!({ "type": "array", "maxItems": 0 }),
        Shape::Object(keys) => object(keys),
        Shape::Map { key, value } => {
            let mut out = json!({ "type": "object", "additionalProperties": shape(value) });
            if let (Some(pattern), Value::Object(fields)) = (key.pattern, &mut out) {
                fields.insert("propertyNames".to_owned(), json!({ "pattern": pattern }));
            }
            out
        }
        Shape::Empty => json!({ "type": "null" }),
        Shape::Anything => json!({}),
        Shape::Any(shapes) => json!({ "anyOf": shapes.iter().map(shape).collect::<Vec<_>>() }),
    }
}

/// Any scalar, because the reader takes `1.10` and `NO` as they are written.
fn text(word: &Word) -> Value {
    let mut out = json!({ "type": ["string", "number", "boolean"] });
    if let (Some(pattern), Value::Object(fields)) = (word.pattern, &mut out) {
        fields.insert("pattern".to_owned(), json!(pattern));
    }
    out
}
