//! Health checks in plain words.
use super::words::{Tense, count, duration};
use crate::manifest::{HealthCheck, HttpQuestion, Question};

/// The check in words: `ask http://localhost:8000/ until it answers well, for at most 30 s`.
pub(super) fn health_words(check: &HealthCheck, tense: Tense) -> String {
    let HealthCheck { question, timeout, interval: _, successes } = check;
    let asked = match question {
        Question::Http(http) => {
            let verb = tense.of("ask", "asking", "");
            let good = http_words(http);
            match tense {
                Tense::Done => format!("{} answered {good}", http.url),
                Tense::Order | Tense::Going => format!("{verb} {} until it answers {good}", http.url),
            }
        }
        Question::Tcp(address) => match tense {
            Tense::Done => format!("{address} takes connections"),
            Tense::Order | Tense::Going => {
                format!("{} {address} until it takes connections", tense.of("try", "trying", ""))
            }
        },
        Question::Command(command) => match tense {
            Tense::Done => format!("`{command}` succeeded on the host"),
            Tense::Order | Tense::Going => {
                format!("{} `{command}` on the host until it succeeds", tense.of("run", "running", ""))
            }
        },
        Question::Journal(text) => match tense {
            Tense::Done => format!("the journal has {text:?}"),
            Tense::Order | Tense::Going => {
                format!("{} the journal until it has {text:?}", tense.of("read", "reading", ""))
            }
        },
        Question::Unit(unit) => match tense {
            Tense::Done => format!("{unit} is active"),
            Tense::Order | Tense::Going => {
                format!("{} whether {unit} is active", tense.of("ask", "asking", ""))
            }
        },
    };
    let times = match successes.get() {
        1 => String::new(),
        n => format!(" {} in a row", count(n as usize, "time", "times")),
    };
    match tense {
        Tense::Done => format!("{asked}{times}"),
        Tense::Order | Tense::Going => format!("{asked}{times}, for at most {}", duration(*timeout)),
    }
}

/// What a good answer is: `well`, `200 or 204 with "ok"`.
fn http_words(http: &HttpQuestion) -> String {
    let statuses: Vec<String> = http.status.iter().map(ToString::to_string).collect();
    let status = if statuses.is_empty() { "well".to_owned() } else { statuses.join(" or ") };
    match &http.contains {
        Some(text) => format!("{status} with {text:?}"),
        None => status,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::http_check;
    use super::*;

    #[test]
    fn what_makes_an_answer_good_is_said() {
        let mut check = http_check();
        check.successes = 3.try_into().unwrap();
        if let Question::Http(http) = &mut check.question {
            http.status = vec![200, 204];
            http.contains = Some("ok".to_owned());
        }
        assert_eq!(
            health_words(&check, Tense::Order),
            "ask http://localhost:8000/ until it answers 200 or 204 with \"ok\" 3 times in a row, for at most 30 s"
        );
        check.question = Question::Tcp("localhost:5432".parse().unwrap());
        assert_eq!(health_words(&check, Tense::Done), "localhost:5432 takes connections 3 times in a row");
    }
}
