//! Attacks by tiers: what each came to, beside what it must come to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::verdict::Verdict;
use enforcer_tests::runner::Skip;

use crate::attack::WORDS;
use crate::fixture::{NODE, OTHER, Wall, config};

const TIERS: [&str; 4] = ["shared", "partitioned", "isolated", "dedicated"];
const LSM: &str = include_str!("golden/lsm.txt");
const NO_LSM: &str = include_str!("golden/no-lsm.txt");
/// What stands in a column whose policy the node refuses.
const REFUSED: &str = "-";

/// What every attack came to.
pub(crate) struct Matrix {
    /// Word of the attack → without an agent, then by [`TIERS`].
    rows: BTreeMap<String, Vec<String>>,
    /// Attacks that cannot be tried here, and why.
    absent: BTreeMap<String, String>,
    /// Tiers that the node refuses, and what it says.
    pub refusals: BTreeMap<&'static str, String>,
    golden: BTreeMap<String, Vec<String>>,
}

impl Matrix {
    /// Without an agent first; then one is started, and every tier is pushed in turn.
    pub(crate) fn measure(wall: &mut Wall) -> Result<Self> {
        let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let (mut absent, mut refusals) = (BTreeMap::new(), BTreeMap::new());
        column(wall, &mut rows, &mut absent).context("without an agent")?;
        wall.lab.start_agent(NODE, &config())?;
        for tier in TIERS {
            match wall.push(&wall.policy(tier))? {
                Ok(()) => column(wall, &mut rows, &mut absent).with_context(|| format!("tier {tier}"))?,
                Err(problem) => {
                    refusals.insert(tier, problem);
                    rows.values_mut().for_each(|row| row.push(REFUSED.to_owned()));
                }
            }
        }
        let golden = parse(if wall.kernel_runs_hooks()? { LSM } else { NO_LSM });
        Ok(Self { rows, absent, refusals, golden })
    }

    /// One attack came to what it must come to; and without an agent it succeeded, or this proves nothing.
    pub(crate) fn holds(&self, word: &str) -> Result<()> {
        if let Some(why) = self.absent.get(word) {
            return Err(Skip(why.clone()).into());
        }
        let seen = self.rows.get(word).context("not tried")?;
        ensure!(seen.first().map(String::as_str) == Some("done"), "without an agent: {seen:?}");
        let meant =
            self.golden.get(word).with_context(|| format!("no line in golden: add\n{}", line(word, seen)))?;
        ensure!(seen == meant, "expected, and seen:\n{}{}", line(word, meant), line(word, seen));
        Ok(())
    }

    /// The whole table and golden table differ in nothing; else the lines that do.
    pub(crate) fn agrees(&self) -> Result<()> {
        let mut difference = String::new();
        let words = self.rows.keys().chain(self.golden.keys()).collect::<std::collections::BTreeSet<_>>();
        for word in words.into_iter().filter(|word| !self.absent.contains_key(*word)) {
            let (meant, seen) = (self.golden.get(word), self.rows.get(word));
            if meant != seen {
                let show = |sign: char, row: Option<&Vec<String>>| {
                    row.map(|row| format!("{sign} {}", line(word, row))).unwrap_or_default()
                };
                write!(difference, "{}{}", show('-', meant), show('+', seen))?;
            }
        }
        ensure!(difference.is_empty(), "expected (-) and seen (+):\n{difference}the table:\n{self}");
        Ok(())
    }

    /// Whether an attack could be tried here.
    pub(crate) fn was_tried(&self, word: &str) -> bool {
        self.rows.contains_key(word) && !self.absent.contains_key(word)
    }

    /// Attacks that succeed in a tier that is in force.
    pub(crate) fn succeed(&self, tier: &str) -> Vec<&str> {
        let column = 1 + TIERS.iter().position(|known| *known == tier).unwrap_or(usize::MAX - 1);
        let done = |row: &Vec<String>| row.get(column).map(String::as_str) == Some("done");
        self.rows.iter().filter(|(_, row)| done(row)).map(|(word, _)| word.as_str()).collect()
    }
}

fn column(
    wall: &mut Wall,
    rows: &mut BTreeMap<String, Vec<String>>,
    absent: &mut BTreeMap<String, String>,
) -> Result<()> {
    for word in WORDS {
        let verdict = match *word {
            "opened_before_the_policy" => wall.early.tell("read"),
            word => wall.attack(word, OTHER),
        };
        let verdict = verdict.with_context(|| (*word).to_owned())?;
        if let Verdict::Absent(why) = &verdict {
            absent.insert((*word).to_owned(), why.clone());
        }
        rows.entry((*word).to_owned()).or_default().push(verdict.to_string());
    }
    Ok(())
}

/// Lines of words; `#` begins a remark.
fn parse(text: &str) -> BTreeMap<String, Vec<String>> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words = lines.map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.filter_map(|words| words.split_first().map(|(word, row)| (word.clone(), row.to_vec()))).collect()
}

fn line(word: &str, row: &[String]) -> String {
    let cells: Vec<String> = row.iter().map(|cell| format!("{cell:<12}")).collect();
    format!("{word:<28} {}\n", cells.join(" ").trim_end())
}

impl std::fmt::Display for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head: Vec<String> = ["off"].iter().chain(&TIERS).map(|tier| (*tier).to_owned()).collect();
        f.write_str(&line("# attack", &head))?;
        for word in WORDS {
            if let Some(row) = self.rows.get(*word) {
                f.write_str(&line(word, row))?;
            }
        }
        Ok(())
    }
}
