//! Logging in by answers: keyboard-interactive (RFC 4256), in as many rounds as the server likes, and passwords (RFC 4252,
//! section 8).
//!
//! The turn to ask is held until the server has judged, so that who comes next to the same login finds the password that
//! it took. What is not certain to be a password is asked for each time.

use russh::client::{KeyboardInteractiveAuthResponse, Prompt};
use secrecy::{ExposeSecret as _, SecretString};

use super::Fingerprint;
use super::auth::{A_PERSON, Login, Verdict, timed, within};
use super::auth_failure::{AttemptOutcome, Credential};
use super::ending::printable;
use super::error::SshError;
use super::passwords::asks_for_password;
use super::prompt::{Echo, LoginQuestion, Prompter, Turn};
use russh::client::AuthResult;

/// More rounds than any login has, and more questions a round: a server must not keep us busy for ever.
const MOST_ROUNDS: usize = 50;
const MOST_QUESTIONS: usize = 20;

/// How often was asked in this login.
#[derive(Debug, Default)]
pub(super) struct Questions {
    interactive: u32,
    password: u32,
    /// Words that were answered with a password of this run. If they come again, it was not the right one.
    reused: Vec<String>,
    /// Set when the server answers to `keyboard-interactive` without a question.
    no_questions: bool,
}

/// An attempt, as the account of a failure has it. `None` when there is nothing more to try.
type Tried = Option<(Credential, Option<(String, Fingerprint)>, Verdict)>;

/// Where the answers of one attempt came from.
#[derive(Default)]
struct Given {
    /// Passwords, by the words that asked for them: kept once the server has taken them.
    passwords: Vec<(String, SecretString)>,
}

/// What came of one round.
enum Round {
    Answers(Vec<SecretString>),
    NobodyToAsk,
    NoAnswer,
}

impl Login<'_> {
    /// One attempt at keyboard-interactive.
    pub(super) async fn answer_questions(&mut self) -> Result<Tried, SshError> {
        if self.questions.interactive >= self.options.password_prompts || self.questions.no_questions {
            return Ok(None);
        }
        self.questions.interactive += 1;
        let tried = |verdict| Ok(Some((Credential::Answers, None, verdict)));
        let prompter = self.options.prompter.clone();
        // After a key, the rest may need no answer: a confirmation on another device.
        if !prompter.is_there() && !self.halfway {
            return tried(Verdict::Next(AttemptOutcome::NobodyToAsk));
        }
        let limit = self.options.authentication_timeout + A_PERSON;
        let user = self.failure.target.user.clone();
        let mut response =
            timed(limit, self.handle.authenticate_keyboard_interactive_start(user, None)).await?;
        let mut turn = None;
        let mut given = Given::default();
        let mut asked = false;
        for _ in 0..MOST_ROUNDS {
            let (name, instructions, prompts) = match response {
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { name, instructions, prompts }) => {
                    (name, instructions, prompts)
                }
                Ok(KeyboardInteractiveAuthResponse::Success) => {
                    self.keep(given);
                    return tried(Verdict::Accepted);
                }
                Ok(KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success }) => {
                    self.questions.no_questions = !asked;
                    let result = AuthResult::Failure { remaining_methods, partial_success };
                    let verdict = self.judge(result).await?;
                    match &verdict {
                        Verdict::Next(AttemptOutcome::Partial) | Verdict::Accepted => self.keep(given),
                        Verdict::Next(_) | Verdict::Over(_) => self.forget(given),
                    }
                    return tried(verdict);
                }
                Err(_) => {
                    let gone = AuthResult::Failure {
                        remaining_methods: russh::MethodSet::empty(),
                        partial_success: false,
                    };
                    return tried(self.judge(gone).await?);
                }
            };
            asked |= !prompts.is_empty();
            if turn.is_none() && !prompts.is_empty() {
                turn = Some(prompter.turn().await);
            }
            let round = self.round(turn.as_ref(), &prompter, &name, &instructions, &prompts, &mut given);
            let answers = match round.await {
                Round::Answers(answers) => answers,
                Round::NobodyToAsk => {
                    // The server waits for answers now, and hears nothing else.
                    return tried(Verdict::Over(AttemptOutcome::NobodyToAsk));
                }
                Round::NoAnswer => return tried(Verdict::Over(AttemptOutcome::NoAnswer)),
            };
            let answers = answers.iter().map(|answer| answer.expose_secret().to_owned()).collect();
            response = timed(limit, self.handle.authenticate_keyboard_interactive_respond(answers)).await?;
        }
        tried(Verdict::Over(AttemptOutcome::Refused))
    }

    /// The answers to one request.
    async fn round(
        &mut self,
        turn: Option<&Turn<'_>>,
        prompter: &Prompter,
        name: &str,
        instructions: &str,
        prompts: &[Prompt],
        given: &mut Given,
    ) -> Round {
        let mut preface: Vec<String> = name.lines().chain(instructions.lines()).map(printable).collect();
        preface.retain(|line| !line.is_empty());
        let Some(turn) = turn else {
            for line in &preface {
                tracing::info!("{}: {line}", self.failure.target);
            }
            return Round::Answers(Vec::new());
        };
        if prompts.len() > MOST_QUESTIONS || (!prompts.is_empty() && !prompter.is_there()) {
            return Round::NobodyToAsk;
        }
        let mut answers = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let text = unpadded(&prompt.prompt);
            let echo = if prompt.echo { Echo::On } else { Echo::Off };
            let is_password = echo == Echo::Off && asks_for_password(&text);
            let known = if is_password { self.known(&text) } else { None };
            let answer = match known {
                Some(password) => Some(password),
                None => {
                    let target = self.failure.target.clone();
                    let preface = std::mem::take(&mut preface);
                    turn.answer(LoginQuestion { target, preface, text: text.clone(), echo }).await
                }
            };
            let Some(answer) = answer else { return Round::NoAnswer };
            if is_password {
                given.passwords.push((text, answer.clone()));
            }
            answers.push(answer);
        }
        Round::Answers(answers)
    }

    /// One attempt with a password.
    pub(super) async fn give_password(&mut self) -> Result<Tried, SshError> {
        if self.questions.password >= self.options.password_prompts {
            return Ok(None);
        }
        self.questions.password += 1;
        let tried = |verdict| Ok(Some((Credential::Password, None, verdict)));
        let prompter = self.options.prompter.clone();
        if !prompter.is_there() {
            return tried(Verdict::Next(AttemptOutcome::NobodyToAsk));
        }
        let turn = prompter.turn().await;
        let target = self.failure.target.clone();
        let text = format!("{}@{}'s password: ", target.user, target.host);
        let answer = match self.known(&text) {
            Some(password) => Some(password),
            None => {
                let preface = if self.questions.password > 1 {
                    vec!["Sorry, that was not it.".to_owned()]
                } else {
                    Vec::new()
                };
                let question = LoginQuestion { target, preface, text: text.clone(), echo: Echo::Off };
                turn.answer(question).await
            }
        };
        let Some(password) = answer else { return tried(Verdict::Over(AttemptOutcome::NoAnswer)) };
        let user = self.failure.target.user.clone();
        let attempt = self.handle.authenticate_password(user, password.expose_secret());
        // PAM may take its time, and somebody confirm on another device.
        let result = within(self.options.authentication_timeout + A_PERSON, attempt).await?;
        let verdict = self.judge(result).await?;
        let given = Given { passwords: vec![(text, password)] };
        match &verdict {
            Verdict::Accepted | Verdict::Next(AttemptOutcome::Partial) => self.keep(given),
            Verdict::Next(_) | Verdict::Over(_) => self.forget(given),
        }
        tried(verdict)
    }

    /// The password that these words asked for before in this run; once a login.
    fn known(&mut self, words: &str) -> Option<SecretString> {
        if self.questions.reused.iter().any(|reused| reused == words) {
            return None;
        }
        let password = self.options.passwords.get(&self.asker, words)?;
        self.questions.reused.push(words.to_owned());
        Some(password)
    }

    fn keep(&self, given: Given) {
        for (words, password) in given.passwords {
            self.options.passwords.keep(&self.asker, words, password);
        }
    }

    fn forget(&self, given: Given) {
        for (words, _) in given.passwords {
            self.options.passwords.forget(&self.asker, &words);
        }
    }
}

/// The server's words on one line, with the blank at the end that sets off the answer.
fn unpadded(words: &str) -> String {
    let mut text = printable(words);
    if !text.is_empty() {
        text.push(' ');
    }
    text
}
