//! What [Spin](https://spinframework.dev) and [SpinKube](https://spinkube.dev) need to run an exported handler: a manifest of
//! version 2, which is also what an image is made of, and a `SpinApp` (`core.spinkube.dev/v1alpha1`).

use toml::Value;

use super::deployment::{Deployment, Manifest};

/// The manifest of Spin, and the one for Kubernetes.
pub(super) fn manifests(deployment: &Deployment) -> Vec<Manifest> {
    vec![
        Manifest { name: "spin.toml".into(), text: manifest(deployment) },
        Manifest { name: app_name(deployment), text: app(deployment) },
    ]
}

/// The commands that serve it, and that publish and start it.
pub(super) fn steps(deployment: &Deployment) -> String {
    let (manifest, app) = (deployment.beside("spin.toml"), deployment.beside(&app_name(deployment)));
    format!(
        "    spin up --from {manifest}
or on Kubernetes
    spin registry push{} --from {manifest} {}
    kubectl apply -f {app}",
        deployment.insecure(),
        deployment.image
    )
}

fn app_name(Deployment { name, .. }: &Deployment) -> String {
    format!("{name}.spinapp.yaml")
}

/// A `spin.toml`. The component has a fixed id, because the words of an id must start with a letter.
fn manifest(deployment: &Deployment) -> String {
    let source = deployment.component.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // A scheme is obligatory.
    let hosts = deployment.net.iter().map(|address| Value::String(format!("*://{address}"))).collect();
    let stores = if deployment.keyvalue { "key_value_stores = [\"default\"]\n" } else { "" };
    format!(
        r#"spin_manifest_version = 2

[application]
name = "{name}"
version = "0.1.0"

[[trigger.http]]
route = "/..."
component = "handler"

[component.handler]
source = {source}
# What it may connect and send requests to.
allowed_outbound_hosts = {hosts}
{stores}"#,
        name = deployment.name,
        source = Value::String(source),
        hosts = Value::Array(hosts),
    )
}

/// A `SpinApp`.
fn app(Deployment { name, image, .. }: &Deployment) -> String {
    format!(
        r#"apiVersion: core.spinkube.dev/v1alpha1
kind: SpinApp
metadata:
  name: "{name}"
spec:
  image: "{image}"
  executor: containerd-shim-spin
  replicas: 2
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_toml_that_names_the_component_and_what_is_granted() {
        let mut deployment = Deployment {
            name: "hello".into(),
            component: "out/it's \"mine\".wasm".into(),
            image: "ghcr.io/me/hello:1".into(),
            host: "hello.localhost".into(),
            net: vec!["api.example.com:443".into()],
            keyvalue: true,
        };
        let table: toml::Table = manifest(&deployment).parse().expect("TOML");
        let component = &table["component"]["handler"];
        assert_eq!(component["source"].as_str(), Some("it's \"mine\".wasm"));
        assert_eq!(component["allowed_outbound_hosts"], Value::Array(vec!["*://api.example.com:443".into()]));
        assert_eq!(component["key_value_stores"], Value::Array(vec!["default".into()]));
        assert_eq!(table["trigger"]["http"][0]["component"].as_str(), Some("handler"));
        deployment.net.clear();
        deployment.keyvalue = false;
        let table: toml::Table = manifest(&deployment).parse().expect("TOML");
        assert_eq!(table["component"]["handler"]["allowed_outbound_hosts"], Value::Array(Vec::new()));
        assert_eq!(table["component"]["handler"].get("key_value_stores"), None);
    }
}
