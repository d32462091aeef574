//! Looking at a host before anything is done there: its facts, once what died in the middle was brought to its end, and what
//! is under way was waited for.
use super::engine::{Context, OtherRuns, Purpose};
use super::failure::{HostFailure, HostState, Undone};
use super::host_error::HostError;
use crate::host::{
    End, Extent, Reached, Recovery, Session, Whose, probe, read_edited, recover, wait_for_run,
};
use crate::plan::{Facts, Layout, PendingRun, RunLife};
use crate::release::RunId;
use crate::report::{EventKind, Events, Recovery as RecoveryOutcome, Wait};

/// Finds the facts; brings to its end what died in the middle there, and waits for what is under way.
pub(super) async fn look(
    context: &Context,
    session: &mut Session,
    extent: Extent,
    whose: Whose,
    events: &Events,
) -> Result<Facts, HostFailure> {
    loop {
        let mut facts = probe(session, &context.manifest, extent).await.map_err(HostFailure::not_reached)?;
        // One that was waited for may die, and then is to be brought to its end.
        let Some(pending) = &facts.pending else {
            session.elevate(facts.elevation);
            read_edited(session, &context.manifest, &mut facts).await.map_err(HostFailure::not_reached)?;
            return Ok(facts);
        };
        settle(context, session, &facts, pending, whose, events).await?;
    }
}

/// Deals with a run that was found: waits for one that is at work, ends one that died.
async fn settle(
    context: &Context,
    session: &mut Session,
    facts: &Facts,
    pending: &PendingRun,
    whose: Whose,
    events: &Events,
) -> Result<(), HostFailure> {
    let layout = Layout::new(&facts.home, &context.manifest);
    let untouched = |error| HostFailure::untouched(error, facts.current.release().cloned());
    let run = pending.id.clone();
    match pending.life {
        _ if context.purpose == Purpose::Look => Err(untouched(HostError::UnderWay(run))),
        RunLife::Alive => {
            wait_for_other(context, session, &layout, &run, whose, events).await.map_err(untouched)
        }
        RunLife::Dead => {
            let recovery = recover(session, &layout, &run, whose).await;
            let recovery = recovery.map_err(|error| untouched(error.into()))?;
            let failed_back = |why: String| {
                let state = HostState::RevertFailed {
                    root: layout.root().clone(),
                    scope: layout.scope(),
                    undone: Undone::EarlierRun,
                    back_to: facts.current.release().cloned(),
                    why: why.clone(),
                };
                let error = Box::new(HostError::Unrecovered { run: run.clone(), why });
                HostFailure { error, state, journal: Vec::new() }
            };
            let (outcome, result) = match recovery {
                // Its client is about to start it.
                Recovery::Alive => {
                    return wait_for_other(context, session, &layout, &run, whose, events)
                        .await
                        .map_err(untouched);
                }
                Recovery::Over(End::Committed) => (RecoveryOutcome::Committed, Ok(())),
                Recovery::Over(End::Reverted(_)) => (RecoveryOutcome::Reverted, Ok(())),
                Recovery::Over(End::RevertFailed(why))
                | Recovery::Failed { why, reached: Reached::Switch } => {
                    (RecoveryOutcome::Failed, Err(failed_back(why)))
                }
                Recovery::NoManager(why) | Recovery::Failed { why, reached: Reached::Preparation } => {
                    let error = HostError::Unrecovered { run: run.clone(), why };
                    (RecoveryOutcome::Failed, Err(untouched(error)))
                }
            };
            events.send(EventKind::Recovered { run: run.clone(), outcome });
            result
        }
    }
}

/// Waits for the end of someone else's run, or leaves.
async fn wait_for_other(
    context: &Context,
    session: &mut Session,
    layout: &Layout,
    run: &RunId,
    whose: Whose,
    events: &Events,
) -> Result<(), HostError> {
    if context.runs == OtherRuns::Refuse {
        return Err(HostError::UnderWay(run.clone()));
    }
    events.send(EventKind::Waiting { what: Wait::Activation, holder: None });
    Ok(wait_for_run(session, layout, run, context.patience, whose).await?)
}
