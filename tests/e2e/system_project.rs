//! A project of the system's scope, on a host that others use as well.
use std::ops::Deref;

use crate::harness::Project;
use crate::hosts::TestUser;

/// A project of the system's scope, whose traces go with it.
pub struct SystemProject<'a> {
    project: Project,
    user: &'a TestUser,
}

impl<'a> SystemProject<'a> {
    /// A project whose deploys are short.
    pub fn new(user: &'a TestUser) -> Self {
        Self { project: Project::quick(user).into_system(), user }
    }
}

impl Deref for SystemProject<'_> {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl Drop for SystemProject<'_> {
    fn drop(&mut self) {
        self.project.remove_from_system(self.user);
    }
}
