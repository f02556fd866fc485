//! `castoff setup`: five questions, each answer tried before it is kept, each of them skippable; or the
//! same by flags.

use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::config::{Change, announce, running, set};
use super::outcome::BAD_INPUT;
use crate::control::client::{Client, Refused};
use crate::control::wire::{ModelsRequest, Pairing, SettingsRequest, WRONG_CODES_MAX};

/// How often it is looked whether the code has come.
const PAIR_POLL: std::time::Duration = std::time::Duration::from_secs(1);
/// How long the code is waited for, in those looks.
const PAIR_POLLS_MAX: u32 = 300;
/// How the list of workspaces that this writes begins, in the file.
const LIST_HEAD: &str = "\n  allowed_paths:\n";
/// Models of a provider that are offered.
const MODELS_SHOWN: usize = 30;

/// What was given by flags.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) change: Change,
    pub(super) workspace: Option<PathBuf>,
}

/// Sets Castoff up. Returns the exit code.
///
/// # Errors
/// Why nothing more was set up; what was said to be kept is.
pub(super) async fn setup(home: &Path, config: &Path, given: Given) -> anyhow::Result<u8> {
    let Given { change, workspace } = given;
    let request = change.request()?;
    if !request.is_empty() || workspace.is_some() {
        if !request.is_empty() {
            keep(home, config, request).await?;
        }
        if let Some(workspace) = workspace {
            add_workspace(home, config, &workspace).await?;
        }
        return Ok(0);
    }
    if !std::io::stdin().is_terminal() {
        let why = "there is no terminal to ask at\nhint: `castoff setup --help` lists the answers as flags";
        return Err(Refused { code: BAD_INPUT, why: why.to_owned() }.into());
    }
    let mut asker =
        Asker { editor: rustyline::DefaultEditor::new()?, home: home.to_path_buf(), config: config.to_path_buf() };
    say("Five questions. Enter skips one, and `castoff setup` can be run again.")?;
    asker.model().await?;
    let bot = asker.telegram().await?;
    asker.owner(bot).await?;
    asker.workspace().await?;
    asker.budget().await?;
    say("\nDone. `castoff chat` talks with the assistant; `castoff status` says how it is doing.")?;
    Ok(0)
}

async fn keep(home: &Path, config: &Path, request: SettingsRequest) -> anyhow::Result<()> {
    set(home, config, request).await?.iter().try_for_each(|line| say(line))
}

/// Adds a directory to `tools.yaml`.
async fn add_workspace(home: &Path, config: &Path, given: &Path) -> anyhow::Result<()> {
    let path = given.canonicalize().with_context(|| format!("there is no directory `{}`", given.display()))?;
    anyhow::ensure!(path.is_dir(), "`{}` is not a directory", path.display());
    let text = path.to_str().context("the path is not UTF-8")?;
    let file = config.join("tools.yaml");
    let before = match std::fs::read_to_string(&file) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("failed to read `{}`", file.display())),
    };
    let quoted = serde_json::to_string(text)?;
    if before.lines().any(|line| line.trim_end() == format!("    - {quoted}")) {
        return say(&format!("`{text}` is a workspace already"));
    }
    let line = format!("    - {quoted}\n");
    let after = match before.split_once(LIST_HEAD) {
        Some((head, rest)) if rest.starts_with("    - ") => format!("{head}{LIST_HEAD}{line}{rest}"),
        // A list that is written otherwise is its owner's to edit.
        _ if before.lines().any(|line| line.starts_with("files:")) => {
            let why = format!("not added\nhint: add this to `allowed_paths:` in {}:\n{line}", file.display());
            return Err(Refused { code: BAD_INPUT, why }.into());
        }
        _ => format!("{}\n\nfiles:{LIST_HEAD}{line}", before.trim_end()),
    };
    // Whole, or not at all.
    let replace = |text: &str| -> anyhow::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(config)?;
        new.write_all(text.as_bytes())?;
        if let Ok(old) = std::fs::metadata(&file) {
            std::os::unix::fs::fchown(new.as_file(), Some(old.uid()), Some(old.gid()))?;
            new.as_file().set_permissions(old.permissions())?;
        } else {
            new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        new.as_file().sync_all()?;
        new.persist(&file)?;
        Ok(())
    };
    let unwritten = || format!("failed to write `{}`", file.display());
    replace(&after).with_context(unwritten)?;
    if let Err(errors) = crate::config::load_policy(config, home) {
        replace(&before).with_context(unwritten)?;
        anyhow::bail!("`{text}` cannot be a workspace:\n{errors}");
    }
    if let Some(mut core) = running(home).await? {
        core.post::<()>("/reload", &json!({})).await?;
    }
    say(&format!("`{text}` is a workspace now: commands see a copy of it, and what they change lands by your rules"))
}

struct Asker {
    editor: rustyline::DefaultEditor,
    home: PathBuf,
    config: PathBuf,
}

impl Asker {
    /// A line; `None` when it is skipped.
    fn ask(&mut self, question: &str) -> anyhow::Result<Option<String>> {
        match self.editor.readline(question) {
            Ok(line) => Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty())),
            Err(rustyline::error::ReadlineError::Eof | rustyline::error::ReadlineError::Interrupted) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn model(&mut self) -> anyhow::Result<()> {
        say("\n1/5 Where shall the assistant think?\n  1  on this machine, with Ollama: nothing leaves it\n  \
             2  Anthropic\n  3  OpenAI, or a server that speaks its API")?;
        let provider = match self.ask("1, 2, 3 or Enter: ")?.as_deref() {
            Some("1") => "ollama",
            Some("2") => "anthropic",
            Some("3") => "openai",
            Some(_) | None => return Ok(()),
        };
        if running(&self.home).await?.is_none() {
            return self.model_of(provider).await;
        }
        let mut api_key = None;
        if provider != "ollama" {
            // Of the provider, whatever its model.
            announce(&self.home, &format!("{provider}/any")).await?;
            api_key = hidden("API key (not shown; Enter: the one that is kept): ")?;
        }
        let list = ModelsRequest { provider: provider.to_owned(), api_key: api_key.clone() };
        let models: Vec<String> = match Client::connect(&self.home).await?.post("/models", &list).await {
            Ok(models) => models,
            Err(error) => return say(&format!("{error:#}\n(skipped)")),
        };
        for (number, model) in models.iter().take(MODELS_SHOWN).enumerate() {
            say(&format!("  {:>2}  {model}", number + 1))?;
        }
        let Some(answer) = self.ask("Which model (number or name)? ")? else { return Ok(()) };
        let chosen = answer.parse::<usize>().ok().and_then(|number| models.get(number.checked_sub(1)?)).cloned();
        let model = format!("{provider}/{}", chosen.unwrap_or(answer));
        let request = SettingsRequest { model: Some(model), api_key, ..SettingsRequest::default() };
        let kept = Client::connect(&self.home).await?.post::<Vec<String>>("/settings", &request).await;
        told(kept.and_then(|said| said.iter().try_for_each(|line| say(line)))).map(drop)
    }

    /// The same while no core runs, which would list the models: by its name.
    async fn model_of(&mut self, provider: &str) -> anyhow::Result<()> {
        let key =
            if provider == "ollama" { None } else { hidden("API key (not shown; Enter: the one that is kept): ")? };
        let Some(name) = self.ask("Which model (its name)? ")? else { return Ok(()) };
        let model = Some(format!("{provider}/{name}"));
        self.try_to_keep(SettingsRequest { model, api_key: key, ..SettingsRequest::default() }).await.map(drop)
    }

    async fn telegram(&mut self) -> anyhow::Result<bool> {
        say("\n2/5 Telegram: make a bot with @BotFather (/newbot) and paste its token.")?;
        let Some(token) = hidden("Bot token (not shown; Enter skips): ")? else { return Ok(false) };
        self.try_to_keep(SettingsRequest { telegram_token: Some(token), ..SettingsRequest::default() }).await
    }

    async fn owner(&mut self, has_bot: bool) -> anyhow::Result<()> {
        if !has_bot {
            return Ok(());
        }
        let Some(mut core) = running(&self.home).await? else {
            return say(
                "\n3/5 Who is the owner? The code is looked for by a Castoff that runs: `castoff setup` again then",
            );
        };
        let Pairing { code, bot, .. } = core.post("/pair", &json!({})).await?;
        // On a line of its own, so that no terminal breaks it.
        say(&format!(
            "\n3/5 Who is the owner? Send this code to @{bot} from your own Telegram:\n\n    {code}\n\n\
             or open https://t.me/{bot}?start={code}\n(waiting; Ctrl-C skips)"
        ))?;
        for _ in 0..PAIR_POLLS_MAX {
            tokio::select! {
                () = tokio::time::sleep(PAIR_POLL) => {}
                stop = tokio::signal::ctrl_c() => { stop?; return say("(skipped)") }
            }
            let pairing: Pairing = Client::connect(&self.home).await?.get("/pair").await?;
            if let Some(id) = pairing.owner {
                return say(&format!("Telegram id {id} is the owner's now"));
            }
            if pairing.wrong >= WRONG_CODES_MAX {
                return say(&format!(
                    "{WRONG_CODES_MAX} wrong codes came, so this one counts no more; run `castoff setup` again for another"
                ));
            }
        }
        say("nobody sent it; run `castoff setup` again for another code")
    }

    async fn workspace(&mut self) -> anyhow::Result<()> {
        say("\n4/5 A directory of yours that commands may work in (they see a copy; changes land by your rules).")?;
        let Some(path) = self.ask("Directory (Enter: only Castoff's own home for you): ")? else { return Ok(()) };
        told(add_workspace(&self.home, &self.config, Path::new(&path)).await).map(drop)
    }

    async fn budget(&mut self) -> anyhow::Result<()> {
        say("\n5/5 What may the model cost a day at most, in dollars? (Local models cost nothing.)")?;
        let Some(amount) = self.ask("Daily cap (Enter: $1.00, or what limits.yaml says): ")? else { return Ok(()) };
        self.try_to_keep(SettingsRequest { daily_budget: Some(amount), ..SettingsRequest::default() }).await.map(drop)
    }

    async fn try_to_keep(&self, request: SettingsRequest) -> anyhow::Result<bool> {
        told(keep(&self.home, &self.config, request).await)
    }
}

/// Whether it was kept; a refusal is said, and the next question comes.
fn told(kept: anyhow::Result<()>) -> anyhow::Result<bool> {
    match kept {
        Ok(()) => Ok(true),
        Err(error) => say(&format!("{error:#}\n(skipped)")).map(|()| false),
    }
}

fn hidden(question: &str) -> anyhow::Result<Option<String>> {
    let text = rpassword::prompt_password(question)?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr().lock(), "{text}")?)
}
