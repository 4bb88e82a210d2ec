//! The OpenAPI document: the committed one is the server's own, it says everything, and what it says is kept.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use wayleave_server::access::Demand;
use wayleave_server::router;

use crate::asks::{Ask, Content, Route, ask_of, routes};
use crate::roles::{Held, Scene};

fn document() -> Value {
    serde_json::from_str(router::openapi_text()).unwrap()
}

fn operation<'a>(document: &'a Value, route: &Route) -> &'a Value {
    &document["paths"][route.path.as_str()][route.method.to_ascii_lowercase().as_str()]
}

/// Follows references.
fn resolve<'a>(document: &'a Value, mut schema: &'a Value) -> &'a Value {
    while let Some(reference) = schema["$ref"].as_str() {
        schema = document.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference}"));
    }
    schema
}

#[tokio::test]
async fn the_committed_document_is_the_servers() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/openapi.json");
    let committed = std::fs::read_to_string(committed).unwrap_or_default();
    assert!(committed == router::openapi_text(), "spec/openapi.json is out of date: run `cargo xtask openapi`");
    let scene = Scene::new(crate::roles::role("nobody"), Held::Bearer).await;
    let answer = scene.client().get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(String::from_utf8(answer.body).unwrap(), committed);
}

/// Every row of the route table is one operation, described, tagged, and with the credentials that the row demands.
#[test]
fn operations_say_everything() {
    let document = document();
    let routes = routes();
    let operations: usize =
        document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(operations, routes.len());
    let mut ids = BTreeSet::new();
    for route in &routes {
        let (line, operation) = (route.line(), operation(&document, route));
        let said = |name: &str| operation[name].as_str().is_some_and(|text| text.len() > 10 && text.contains(' '));
        assert!(said("summary") || said("description"), "{line} has no description");
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{line}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{line}: the id {id} is taken");
        let schemes: Vec<_> = operation["security"]
            .as_array()
            .unwrap()
            .iter()
            .map(|scheme| scheme.as_object().unwrap().keys().next().map_or("", String::as_str))
            .collect();
        match route.rules.demand {
            Demand::Service => assert_eq!(schemes, ["service"], "{line}"),
            Demand::AnySession | Demand::AnyFresh | Demand::Session | Demand::Fresh | Demand::Admin => {
                assert_eq!(schemes, ["session", "bearer"], "{line}");
            }
            // Validation answers for itself, and refuses who shows nothing.
            Demand::Nobody => assert!(schemes[0].is_empty() || line.ends_with("/validate"), "{line}: {schemes:?}"),
        }
        for (name, response) in operation["responses"].as_object().unwrap() {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{line} {name}");
        }
        let refusal = &operation["responses"]["default"]["content"];
        assert_eq!(refusal["application/json"]["schema"]["$ref"], "#/components/schemas/ErrorBody", "{line}");
        assert_eq!(refusal["application/problem+json"]["schema"]["$ref"], "#/components/schemas/Problem", "{line}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(parameter["description"].is_string(), "{line} {}", parameter["name"]);
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value, count: &mut u32) {
        match value {
            Value::Object(members) => {
                if members.contains_key("$ref") {
                    resolve(document, value);
                    *count += 1;
                }
                members.values().for_each(|value| walk(document, value, count));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(document, value, count)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (document, mut count) = (document(), 0);
    walk(&document, &document, &mut count);
    assert!(count > 100, "{count}");
}

/// Everything that a request may say has a stated maximum, and no object takes members that are not stated.
#[test]
fn requests_are_bounded() {
    let document = document();
    let mut open = Vec::new();
    let mut checked = 0;
    for route in routes() {
        let operation = operation(&document, &route);
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = format!("{} ?{}", route.line(), parameter["name"]);
            unbounded(&document, &parameter["schema"], &name, &mut open);
            checked += 1;
        }
        for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            unbounded(&document, &content["schema"], &format!("{} {media}", route.line()), &mut open);
            checked += 1;
        }
    }
    // RFC 7662 and RFC 7009 let clients send members that a server does not know.
    open.retain(|place| !place.ends_with("application/x-www-form-urlencoded takes any member"));
    assert!(open.is_empty(), "{open:#?}");
    assert!(checked > 30, "{checked}");
}

fn unbounded(document: &Value, schema: &Value, place: &str, open: &mut Vec<String>) {
    let schema = resolve(document, schema);
    for alternative in ["oneOf", "anyOf", "allOf"].iter().filter_map(|name| schema[name].as_array()).flatten() {
        unbounded(document, alternative, place, open);
    }
    let is =
        |name: &str| schema["type"] == name || schema["type"].as_array().is_some_and(|all| all.contains(&json!(name)));
    let has = |name: &str| !schema[name].is_null();
    let bounded_text = has("maxLength") || has("enum") || has("pattern") || schema["format"] == "date-time";
    if is("string") && !bounded_text {
        open.push(format!("{place} is a text of any length"));
    }
    if is("integer") && !(has("minimum") && has("maximum")) {
        open.push(format!("{place} is any number"));
    }
    if is("array") {
        if !has("maxItems") {
            open.push(format!("{place} is a list of any length"));
        }
        unbounded(document, &schema["items"], &format!("{place}[]"), open);
    }
    if is("object") {
        if schema["additionalProperties"] != false {
            open.push(format!("{place} takes any member"));
        }
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            unbounded(document, member, &format!("{place}.{name}"), open);
        }
    }
}

/// What the document calls impossible is refused: a member too many, of another type, too long, too large, left out.
#[tokio::test]
async fn stated_bounds_are_kept() {
    let document = document();
    let mut accepted = Vec::new();
    let mut sent = 0;
    for route in routes() {
        let operation = operation(&document, &route);
        let body = resolve(&document, &operation["requestBody"]["content"]["application/json"]["schema"]);
        let scene = Scene::new(route.right_role(), Held::Cookie).await;
        let ask = ask_of(&route, &scene);
        let before = scene.state().await;
        let mut bad: Vec<(String, Ask)> = Vec::new();
        if let (Content::Json(good), false) = (&ask.body, body.is_null()) {
            let bodies = impossible(&document, body, good.as_object().unwrap());
            bad.extend(bodies.into_iter().map(|(what, body)| (what, Ask { body: Content::Json(body), ..ask.clone() })));
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            for value in impossible_values(&document, &parameter["schema"]) {
                // In a query everything is a text.
                let (Value::String(_) | Value::Number(_)) = &value else { continue };
                let text = value.as_str().map_or_else(|| value.to_string(), |text| text.replace('\u{1}', "%01"));
                let path = ask.line.split('?').next().unwrap();
                let what = format!("?{name}={}", shortened(&text));
                bad.push((what, Ask { line: format!("{path}?{name}={text}"), ..ask.clone() }));
            }
        }
        if route.rules.demand != Demand::Nobody
            && operation["parameters"].as_array().is_some_and(|all| all.iter().any(|one| one["in"] == "query"))
        {
            let glue = if ask.line.contains('?') { '&' } else { '?' };
            bad.push(("?unknown=1".into(), Ask { line: format!("{}{glue}unknown=1", ask.line), ..ask.clone() }));
        }
        for (what, ask) in bad {
            let client = scene.client();
            let answer = client.ask_as_is(ask.request(&client)).await;
            sent += 1;
            if !answer.status.is_client_error() {
                accepted.push(format!("{} {what}: {}", route.line(), answer.status));
            }
        }
        if scene.state().await != before {
            accepted.push(format!("{} changed something", route.line()));
        }
    }
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
    assert!(sent > 100, "{sent}");
}

/// Bodies like `good` with one thing wrong.
fn impossible(document: &Value, schema: &Value, good: &Map<String, Value>) -> Vec<(String, Value)> {
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body.insert(name.to_owned(), value);
        Value::Object(body)
    };
    let mut bodies = vec![
        ("a member that is not stated".to_owned(), with("unknown", json!(1))),
        ("a list".to_owned(), json!([good])),
        ("null".to_owned(), Value::Null),
    ];
    for name in schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()) {
        let mut body = good.clone();
        body.remove(name);
        bodies.push((format!("no {name}"), Value::Object(body)));
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        for value in impossible_values(document, member) {
            bodies.push((format!("{name}: {}", shortened(&value.to_string())), with(name, value)));
        }
    }
    bodies
}

/// Values just beyond what a schema allows.
fn impossible_values(document: &Value, schema: &Value) -> Vec<Value> {
    let schema = resolve(document, schema);
    let mut values = Vec::new();
    if let Some(most) = schema["maxLength"].as_u64() {
        values.push(json!("a".repeat(usize::try_from(most).unwrap() + 1)));
    }
    if schema["minLength"].as_u64() >= Some(1) {
        values.push(json!(""));
    }
    if schema["pattern"].is_string() || schema["enum"].is_array() || schema["format"] == "date-time" {
        values.push(json!("\u{1}"));
    }
    if let Some(most) = schema["maximum"].as_u64() {
        values.push(json!(most + 1));
    }
    if let Some(least) = schema["minimum"].as_i64() {
        values.push(json!(least - 1));
    }
    if let Some(most) = schema["maxItems"].as_u64() {
        values.push(json!(vec!["a"; usize::try_from(most).unwrap() + 1]));
    }
    let wrong_type = match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
        Some("string") => Some(json!({ "a": 1 })),
        Some("integer" | "boolean") => Some(json!("x")),
        Some("array" | "object") => Some(json!(7)),
        Some(_) | None => None,
    };
    values.extend(wrong_type);
    values
}

fn shortened(text: &str) -> &str {
    text.get(..40).unwrap_or(text)
}
