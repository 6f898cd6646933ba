//! The promises of `proto/`, held against the descriptors that clients are given.

use std::collections::BTreeSet;

use postroom::grpc::pb;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MethodDescriptor, ServiceDescriptor};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(pb::DESCRIPTORS).unwrap()
}

fn ours(pool: &DescriptorPool) -> Vec<FileDescriptorProto> {
    pool.files()
        .filter(|file| file.package_name() == "postroom.v1")
        .map(|file| file.file_descriptor_proto().clone())
        .collect()
}

fn services(pool: &DescriptorPool) -> Vec<ServiceDescriptor> {
    pool.services()
        .filter(|found| found.package_name() == "postroom.v1")
        .collect()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    (services(pool).iter())
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

/// Every element by its path within the file, as `SourceCodeInfo.Location` counts it.
fn elements(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let mut found = Vec::new();
    let mut add = |path: &[usize], name: &str| {
        let path = path
            .iter()
            .map(|step| i32::try_from(*step).unwrap())
            .collect();
        found.push((path, name.to_owned()));
    };
    for (at, message) in file.message_type.iter().enumerate() {
        add(&[4, at], message.name());
        for (field_at, field) in message.field.iter().enumerate() {
            add(
                &[4, at, 2, field_at],
                &format!("{}.{}", message.name(), field.name()),
            );
        }
        for (oneof_at, oneof) in message.oneof_decl.iter().enumerate() {
            // An optional field is a oneof of its own, made by the compiler.
            if !oneof.name().starts_with('_') {
                add(
                    &[4, at, 8, oneof_at],
                    &format!("{}.{}", message.name(), oneof.name()),
                );
            }
        }
    }
    for (at, found) in file.enum_type.iter().enumerate() {
        add(&[5, at], found.name());
        for (value_at, value) in found.value.iter().enumerate() {
            add(&[5, at, 2, value_at], value.name());
        }
    }
    for (at, service) in file.service.iter().enumerate() {
        add(&[6, at], service.name());
        for (method_at, method) in service.method.iter().enumerate() {
            add(
                &[6, at, 2, method_at],
                &format!("{}.{}", service.name(), method.name()),
            );
        }
    }
    found
}

#[test]
fn every_element_has_a_comment() {
    let pool = pool();
    let mut count = 0;
    for file in ours(&pool) {
        let commented: BTreeSet<Vec<i32>> = (file.source_code_info.iter())
            .flat_map(|info| &info.location)
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.clone())
            .collect();
        for (path, name) in elements(&file) {
            assert!(commented.contains(&path), "{}: {name}", file.name());
            count += 1;
        }
    }
    assert!(count > 500, "only {count} elements were looked at");
}

#[test]
fn names_follow_the_conventions() {
    let pool = pool();
    for found in pool
        .all_enums()
        .filter(|found| found.package_name() == "postroom.v1")
    {
        let mut prefix = String::new();
        for letter in found.name().chars() {
            if letter.is_ascii_uppercase() && !prefix.is_empty() {
                prefix.push('_');
            }
            prefix.push(letter.to_ascii_uppercase());
        }
        let zero = found.get_value(0).unwrap();
        assert_eq!(zero.name(), format!("{prefix}_UNSPECIFIED"));
        for value in found.values() {
            assert!(
                value.name().starts_with(&format!("{prefix}_")),
                "{}",
                value.name()
            );
        }
    }
    let kind = |field: &FieldDescriptor| match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        _ => String::new(),
    };
    for message in pool
        .all_messages()
        .filter(|found| found.package_name() == "postroom.v1")
    {
        for field in message.fields() {
            let name = field.name();
            let at = format!("{}.{name}", message.name());
            match kind(&field).as_str() {
                "google.protobuf.Timestamp" => assert!(name.ends_with("_time"), "{at}"),
                "google.protobuf.Duration" => assert!(
                    ["_duration", "_timeout", "_interval", "_delay"]
                        .iter()
                        .any(|suffix| name.ends_with(suffix)),
                    "{at}"
                ),
                _ => assert!(
                    !name.ends_with("_time") && !name.ends_with("_duration"),
                    "{at}"
                ),
            }
            // Words that a client's language keeps for itself.
            for keyword in [
                "from", "default", "class", "type", "import", "in", "is", "package",
            ] {
                assert_ne!(name, keyword, "{at}");
            }
        }
    }
}

#[test]
fn every_call_has_its_own_messages_and_a_rule() {
    let pool = pool();
    let rule = pool.get_extension_by_name("postroom.v1.access").unwrap();
    for method in methods(&pool) {
        let name = method.name();
        assert_eq!(method.input().name(), format!("{name}Request"));
        assert_eq!(method.output().name(), format!("{name}Response"));
        assert!(method.options().has_extension(&rule), "{name}");
    }
    for service in services(&pool) {
        assert!(service.name().ends_with("Service"));
    }
}

#[test]
fn what_changes_something_can_be_repeated() {
    // Repeating these does no harm: the last write wins, or the second finds it done.
    const HARMLESS: [&str; 16] = [
        "ClearAlert",
        "RenewSession",
        "AcknowledgeOffer",
        "SaveWrapUp",
        "CreateMembership",
        "DeleteMembership",
        "SetAgentPassword",
        "RevokeApiKey",
        // What is there already is taken again; what is gone is not there.
        "WriteAttachmentChunk",
        "DeleteAttachment",
        "UpdateDraft",
        // The id and the etag of an article tell a repeat from another change.
        "CreateArticle",
        "UpdateArticle",
        "DeleteArticle",
        // Makes another key, which nobody holds and an administrator revokes.
        "CreateApiKey",
        // Makes another key; fifteen are kept.
        "RotateTokenKey",
    ];
    for method in methods(&pool()) {
        let name = method.name();
        let reads = [
            "Get", "List", "Watch", "Download", "Lookup", "Explain", "Search", "Render",
        ]
        .iter()
        .any(|verb| name.starts_with(verb));
        let has_id = method.input().get_field_by_name("request_id").is_some();
        assert_eq!(has_id, !reads && !HARMLESS.contains(&name), "{name}");
    }
}

#[test]
fn every_list_comes_in_pages() {
    for method in methods(&pool())
        .iter()
        .filter(|method| method.name().starts_with("List"))
    {
        let name = method.name();
        for field in ["page_size", "page_token"] {
            assert!(
                method.input().get_field_by_name(field).is_some(),
                "{name}.{field}"
            );
        }
        let first = method.output().get_field(1).unwrap();
        assert!(first.is_list(), "{name}");
        assert!(
            method
                .output()
                .get_field_by_name("next_page_token")
                .is_some(),
            "{name}"
        );
    }
}
