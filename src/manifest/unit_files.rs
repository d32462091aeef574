//! All unit files of a release together: which units come of them, and what each of those consists of.
use super::model::Manifest;
use super::name::{DropInName, UnitName};
use super::unit_file::UnitFile;
use super::unit_order::{Parts, Waits, start_order};

/// The unit files and drop-ins of a release, read.
#[derive(Debug, Clone, Default)]
pub struct UnitFiles {
    /// The unit files by the names of their units; a template is one.
    pub files: Vec<(UnitName, UnitFile)>,
    /// The drop-ins, each with the unit that it adds to: a template's go for all instances.
    pub drop_ins: Vec<(UnitName, DropInName, UnitFile)>,
}

impl UnitFiles {
    /// The units that are started, in the order they are started in, each as systemd will see it. Units that wait for each
    /// other are in the order of the manifest; [`lint`](super::lint) tells of them.
    #[must_use]
    pub fn started(&self, manifest: &Manifest) -> Vec<(UnitName, UnitFile)> {
        let parts = self.parts(manifest);
        let order = start_order(&parts, manifest.scope).unwrap_or_else(|_| (0..parts.len()).collect());
        let units = order.into_iter().filter_map(|at| parts.get(at));
        units.filter_map(|(name, files)| Some(((*name).clone(), merged(files)?))).collect()
    }

    /// Units that wait for each other, if there are some.
    pub(super) fn circle(&self, manifest: &Manifest) -> Option<Vec<Waits>> {
        start_order(&self.parts(manifest), manifest.scope).err()
    }

    /// The units that are started, each with its files.
    fn parts<'a>(&'a self, manifest: &'a Manifest) -> Vec<Parts<'a>> {
        let units = manifest.started_units();
        units.filter_map(|(name, source)| Some((name, self.files_of(name, &source.name)?))).collect()
    }

    /// A unit's file with the drop-ins behind it, in the order systemd reads them: by name, and of those with the same name
    /// in the folders of a template and of an instance, the instance's only (systemd.unit(5)).
    fn files_of(&self, name: &UnitName, file: &UnitName) -> Option<Vec<&UnitFile>> {
        let (_, unit) = self.files.iter().find(|(known, _)| known == file)?;
        let mut files = vec![unit];
        let adds = |to: &UnitName| to == name || to == file || *to == name.file();
        let mut drop_ins: Vec<_> = self.drop_ins.iter().filter(|(to, _, _)| adds(to)).collect();
        drop_ins.sort_by_key(|(to, drop_in, _)| (drop_in, to == name));
        for (at, (_, drop_in, text)) in drop_ins.iter().enumerate() {
            if drop_ins.get(at + 1).is_some_and(|(_, next, _)| next == drop_in) {
                continue;
            }
            files.push(text);
        }
        Some(files)
    }

    /// The drop-ins of a unit file.
    pub(super) fn of<'a>(&'a self, unit: &'a UnitName) -> impl Iterator<Item = &'a UnitFile> {
        self.drop_ins
            .iter()
            .filter(move |(to, _, _)| to == unit || to.file() == *unit)
            .map(|(_, _, text)| text)
    }
}

/// All files of a unit as one.
fn merged(files: &[&UnitFile]) -> Option<UnitFile> {
    let (first, rest) = files.split_first()?;
    let mut unit = (*first).clone();
    for file in rest {
        unit.sections.extend(file.sections.iter().cloned());
        unit.entries.extend(file.entries.iter().cloned());
    }
    Some(unit)
}
