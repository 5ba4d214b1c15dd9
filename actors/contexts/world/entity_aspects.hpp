#pragma once

#include "actors/contexts/call.hpp"

/// What can be done at world.<entity>; the table is in entity.cpp.
namespace kgents::actors::entity {

// entity_views.cpp: what is told of it, changing nothing.
task<outcome> manifest(aspect_call& c);
task<outcome> witness(aspect_call& c);
task<outcome> describe(aspect_call& c);
task<outcome> contemplate(aspect_call& c);
task<outcome> measure(aspect_call& c);
task<outcome> blueprint(aspect_call& c);
task<outcome> analyze(aspect_call& c);
task<outcome> monitor(aspect_call& c);
task<outcome> audit(aspect_call& c);

// entity_economy.cpp
task<outcome> appraise(aspect_call& c);
task<outcome> forecast(aspect_call& c);
task<outcome> compare(aspect_call& c);
task<outcome> trade(aspect_call& c);

// entity_acts.cpp: what is done to it.
task<outcome> define(aspect_call& c);
task<outcome> renovate(aspect_call& c);
task<outcome> demolish(aspect_call& c);
task<outcome> repair(aspect_call& c);
task<outcome> furnish(aspect_call& c);
task<outcome> use(aspect_call& c);
task<outcome> enter(aspect_call& c);
task<outcome> leave(aspect_call& c);
task<outcome> inhabit(aspect_call& c);
task<outcome> configure(aspect_call& c);
task<outcome> provision(aspect_call& c);
task<outcome> experiment(aspect_call& c);

// entity_making.cpp: what is made up about it.
task<outcome> metaphorize(aspect_call& c);
task<outcome> design(aspect_call& c);
task<outcome> hypothesize(aspect_call& c);

// jobs.cpp
task<outcome> enqueue(aspect_call& c);

}  // namespace kgents::actors::entity
