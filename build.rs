//! Compiles `proto/`: messages and services, the descriptor set for reflection, and the table of
//! who may call what, read from the access rule that stands at every RPC.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};

const PACKAGE: &str = "postroom.v1";
const ROOT: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={ROOT}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new([ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(proto_files(Path::new(ROOT))?)?;

    // The encoded set keeps the access rules, which the typed one drops as unknown fields.
    let encoded = compiler.encode_file_descriptor_set();
    fs::write(out.join("access.rs"), access_table(&encoded)?)?;
    fs::write(out.join("postroom.bin"), encoded)?;

    tonic_prost_build::configure()
        .bytes(".")
        // Maps in one order, as everywhere.
        .btree_map(".")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Every `.proto` file below a folder, in the alphabet's order so that builds repeat.
fn proto_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(proto_files(&path)?);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The rows of the access table, sorted by path. Fails if an RPC has no rule.
fn access_table(encoded: &[u8]) -> Result<String, Box<dyn Error>> {
    let pool = DescriptorPool::decode(encoded)?;
    let rule = pool
        .get_extension_by_name(&format!("{PACKAGE}.access"))
        .ok_or("options.proto does not define the method option `access`")?;
    let mut rows = Vec::new();
    for service in pool
        .services()
        .filter(|found| found.package_name() == PACKAGE)
    {
        for method in service.methods() {
            let options = method.options();
            if !options.has_extension(&rule) {
                return Err(format!("{} has no access rule", method.full_name()).into());
            }
            let roles = roles(options.get_extension(&rule).as_message()).ok_or_else(|| {
                format!("the access rule of {} names no role", method.full_name())
            })?;
            rows.push((format!("/{}/{}", service.full_name(), method.name()), roles));
        }
    }
    rows.sort();
    let mut table = String::from("&[\n");
    for (path, roles) in rows {
        let roles: Vec<String> = roles
            .iter()
            .map(|role| format!("Allowed::{role}"))
            .collect();
        writeln!(table, "    ({path:?}, &[{}]),", roles.join(", "))?;
    }
    table.push_str("]\n");
    Ok(table)
}

/// The roles of a rule in Rust's spelling, such as `Agent` for `ROLE_AGENT`; none for a rule
/// that allows nobody.
fn roles(rule: Option<&DynamicMessage>) -> Option<Vec<String>> {
    let roles = rule?.get_field_by_name("roles")?.into_owned();
    let descriptor = rule?.descriptor().get_field_by_name("roles")?.kind();
    let descriptor = descriptor.as_enum()?.clone();
    let spelled = roles
        .as_list()?
        .iter()
        .map(|role| {
            let number = role.as_enum_number().filter(|number| *number != 0)?;
            let name = descriptor.get_value(number)?.name().to_owned();
            let name = name.strip_prefix("ROLE_")?.to_owned();
            let (first, rest) = name.split_at_checked(1)?;
            Some(format!("{first}{}", rest.to_ascii_lowercase()))
        })
        .collect::<Option<Vec<String>>>()?;
    (!spelled.is_empty()).then_some(spelled)
}
