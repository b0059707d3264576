//! What [wasmCloud](https://wasmcloud.com) needs to run an exported handler.
//!
//! Its hosts pull the component from a registry. They take orders over NATS, as messages of
//! `wasmcloud.runtime.v2.WorkloadService` in JSON. On Kubernetes, an operator sends these for each `WorkloadDeployment`
//! (`runtime.wasmcloud.dev/v1alpha1`).

use std::fmt::Write as _;

use serde_json::json;

use super::deployment::{Deployment, Manifest};
use crate::program::commands::path::argument;

/// The request that starts the handler on a host, and the manifest for Kubernetes.
pub(super) fn manifests(deployment: &Deployment) -> Vec<Manifest> {
    vec![
        Manifest { name: request_name(deployment), text: request(deployment) },
        Manifest { name: manifest_name(deployment), text: manifest(deployment) },
    ]
}

/// The commands that publish and start it.
pub(super) fn steps(deployment: &Deployment) -> String {
    let Deployment { component, image, .. } = deployment;
    let (request, manifest) =
        (deployment.beside(&request_name(deployment)), deployment.beside(&manifest_name(deployment)));
    format!(
        "    wash oci push{} {image} {}
and for each host, whose id is in its log,
    nats request --timeout 60s runtime.host.HOST_ID.workload.start \"$(cat {request})\"
or on Kubernetes
    kubectl apply -f {manifest}",
        deployment.insecure(),
        argument(component)
    )
}

fn request_name(Deployment { name, .. }: &Deployment) -> String {
    format!("{name}.workload.json")
}

fn manifest_name(Deployment { name, .. }: &Deployment) -> String {
    format!("{name}.workload.yaml")
}

/// A `WorkloadStartRequest`.
fn request(deployment: &Deployment) -> String {
    let Deployment { name, image, host, net, .. } = deployment;
    // Hosts keep what they have pulled, so they would never see what a tag has moved to.
    let policy = if deployment.is_latest() { "ALWAYS" } else { "IF_NOT_PRESENT" };
    let request = json!({
        "workloadId": name,
        "workload": {
            "namespace": "default",
            "name": name,
            "witWorld": {
                "components": [{
                    "name": name,
                    "image": image,
                    "imagePullPolicy": format!("IMAGE_PULL_POLICY_{policy}"),
                    "localResources": { "allowedHosts": net },
                }],
                "hostInterfaces": [{
                    "namespace": "wasi",
                    "package": "http",
                    "version": "0.2.0",
                    "interfaces": ["incoming-handler"],
                    "config": { "host": host },
                }],
            },
        },
    });
    format!("{request:#}\n")
}

/// A `WorkloadDeployment`, with a `Service` by which others in the cluster reach the handler.
fn manifest(deployment: &Deployment) -> String {
    let Deployment { name, image, host, net, .. } = deployment;
    let policy = if deployment.is_latest() { "Always" } else { "IfNotPresent" };
    let mut hosts = String::new();
    for address in net {
        _ = write!(hosts, "\n              - \"{address}\"");
    }
    let hosts = if net.is_empty() { " []" } else { &hosts };
    format!(
        r#"apiVersion: v1
kind: Service
metadata:
  name: "{name}"
spec:
  ports:
    - name: http
      port: 80
---
apiVersion: runtime.wasmcloud.dev/v1alpha1
kind: WorkloadDeployment
metadata:
  name: "{name}"
spec:
  replicas: 2
  template:
    spec:
      hostSelector:
        hostgroup: default
      kubernetes:
        service:
          name: "{name}"
      components:
        - name: "{name}"
          image: "{image}"
          imagePullPolicy: {policy}
          localResources:
            # What it may connect and send requests to.
            allowedHosts:{hosts}
      hostInterfaces:
        - namespace: wasi
          package: http
          interfaces:
            - incoming-handler
          config:
            # The host name of requests for it.
            host: "{host}"
"#
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn deployment(image: &str, net: &[&str]) -> Deployment {
        Deployment {
            name: "hello".into(),
            component: "out dir/hello.wasm".into(),
            image: image.into(),
            host: "hello.example.com".into(),
            net: net.iter().map(|&net| net.into()).collect(),
            keyvalue: false,
        }
    }

    #[test]
    fn a_request_is_json_that_grants_only_what_the_user_does() {
        let request: Value = serde_json::from_str(&request(&deployment("ghcr.io/me/hello:1", &[]))).expect("JSON");
        let world = &request["workload"]["witWorld"];
        let [component] = &world["components"].as_array().expect("an array")[..] else { panic!("{request}") };
        assert_eq!(component["image"], "ghcr.io/me/hello:1");
        assert_eq!(component["imagePullPolicy"], "IMAGE_PULL_POLICY_IF_NOT_PRESENT");
        assert_eq!(component["localResources"], json!({ "allowedHosts": [] }));
        assert_eq!(world["hostInterfaces"][0]["config"], json!({ "host": "hello.example.com" }));
        let granted = manifest(&deployment("ghcr.io/me/hello:1", &["a.example:443", "b.example:80"]));
        let list =
            "allowedHosts:\n              - \"a.example:443\"\n              - \"b.example:80\"\n      hostInter";
        assert!(granted.contains(list), "{granted}");
    }

    #[test]
    fn an_image_whose_tag_moves_is_always_pulled() {
        let latest = deployment("ghcr.io/me/hello:latest", &[]);
        assert!(request(&latest).contains("\"IMAGE_PULL_POLICY_ALWAYS\""));
        assert!(manifest(&latest).contains("imagePullPolicy: Always\n"));
        assert!(manifest(&deployment("ghcr.io/me/hello:1", &[])).contains("imagePullPolicy: IfNotPresent\n"));
    }

    #[test]
    fn commands_name_files_as_a_shell_reads_them() {
        let steps = steps(&deployment("localhost:5000/hello:1", &[]));
        assert!(steps.contains("wash oci push --insecure localhost:5000/hello:1 'out dir/hello.wasm'\n"), "{steps}");
        assert!(steps.contains("\"$(cat 'out dir/hello.workload.json')\""), "{steps}");
        assert!(!super::steps(&deployment("ghcr.io/me/hello:1", &[])).contains("insecure"));
    }
}
