//! What a row is asked for: its names, and its directive's value, read, set and written to a file.

use super::*;

impl Param {
    /// Every directive, in the order CONFIG GET lists them.
    pub fn all() -> impl Iterator<Item = &'static Param> {
        FIELDS.iter().chain(inert::ROWS)
    }

    /// The row whose name or alias is `name`, without regard to case. Linear in the number of rows: for startup and
    /// CONFIG.
    pub fn find(name: &[u8]) -> Option<&'static Param> {
        let is_meant = |known: &&'static str| name.eq_ignore_ascii_case(known.as_bytes());
        Param::all().find(|param| param.names().chain(param.unlisted.iter().copied()).any(|known| is_meant(&known)))
    }

    /// The name, then the aliases, without those that no glob finds.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The row's own spelling of a name that it was found by.
    pub(in crate::config) fn spelling(&self, name: &[u8]) -> &'static str {
        let mut known = self.names().chain(self.unlisted.iter().copied());
        known.find(|known| name.eq_ignore_ascii_case(known.as_bytes())).unwrap_or(self.name)
    }

    /// Sets the directive in `config` to what `args` say.
    pub(in crate::config) fn set(&self, config: &mut Config, args: &[&[u8]]) -> Result<(), Reason> {
        match &self.effect {
            Effect::Field(field) => (field.set)(config, args),
            Effect::None(inert) => inert.set(self.name, config, args),
        }
    }

    /// Has the next value replace what there is, also where lines of a file add to each other.
    pub(in crate::config) fn clear(&self, config: &mut Config) {
        if let Effect::Field(field) = &self.effect {
            (field.clear)(config);
        }
    }

    /// What CONFIG GET prints.
    pub(in crate::config) fn get(&self, config: &Config) -> Vec<u8> {
        match &self.effect {
            Effect::Field(field) => (field.get)(config),
            Effect::None(inert) => inert.get(self.name, config),
        }
    }

    /// What a rewritten file says of the directive, line by line, and whether that differs from its default. `forced` lines
    /// are written whatever they say.
    pub(in crate::config) fn lines(&self, config: &Config, defaults: &Config, forced: bool) -> Vec<Line> {
        let (text, default) = (self.get(config), self.get(defaults));
        let differs = text != default;
        let field = match &self.effect {
            Effect::Field(field) => field,
            Effect::None(inert) => return vec![(inert.written(&text), differs)],
        };
        match field.layout {
            Layout::Plain(text) => vec![(text(config), differs)],
            // No line says the same as an empty one, unless the default is not empty.
            Layout::Quoted(text) => match text(config) {
                None if !forced && !differs => Vec::new(),
                value => vec![(value::quoted(&value.unwrap_or_default()), differs)],
            },
            Layout::Always(text) => vec![(value::quoted(&text(config)), true)],
            Layout::Lines(lines) => lines(config),
            Layout::Added(lines) => lines(config, forced),
        }
    }
}
