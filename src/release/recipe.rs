//! A release that can only be made once its host was looked at: a template asks for facts.
use std::sync::Arc;

use super::sources::{Release, Sources};
use crate::manifest::template::{TemplateFacts, TemplateInputs};
use crate::manifest::{Environment, Host, Manifest, Problem};

/// Everything that a release is made from but the facts of its host.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// The files.
    pub sources: Arc<Sources>,
    /// What they are for.
    pub manifest: Arc<Manifest>,
    /// Where they go.
    pub environment: Arc<Environment>,
    /// The host.
    pub host: Host,
    /// What templates see; its facts are those of nobody.
    pub inputs: TemplateInputs,
}

impl Recipe {
    /// Makes the release of a host with these facts.
    ///
    /// # Errors
    ///
    /// When a template fails with them, or a unit or the env file that it became has an error in it.
    pub fn make(&self, facts: TemplateFacts) -> Result<Release, Vec<Problem>> {
        let inputs = TemplateInputs { facts, ..self.inputs.clone() };
        self.sources.release(&self.manifest, &self.environment, &self.host, &inputs)
    }
}
