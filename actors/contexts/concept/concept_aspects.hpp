#pragma once

#include "actors/contexts/call.hpp"
#include "actors/contexts/concept/concept_view.hpp"

/// What can be done at concept.<name>; the table is in concept.cpp.
namespace kgents::actors::idea {

/// Stored, or one of the standard parents. What it has from its lineage is afforded to everybody.
task<resolution> resolve(aspect_call& c);

/// The concept as stored; as new when nobody has defined it, with a standard parent's lineage when
/// it is one.
task<concept_view> seen(aspect_call& c, std::string handle);

/// `concept.x` for "x" or "concept.x"; nothing when it is no handle of a concept.
[[nodiscard]] std::optional<std::string> handle_of(std::string_view text);

/// The model's text, or the other.
task<std::string> told(aspect_call& c, std::string system, std::string user, std::string otherwise);

/// Stores `what` at a member of the state, or appends it to a list of at most `most`.
task<int64_t> keep(aspect_call& c, std::string member, boost::json::value what, size_t most = 0);

[[nodiscard]] boost::json::array array_of(const std::vector<std::string>& x);

// definition.cpp
task<outcome> manifest(aspect_call& c);
task<outcome> define(aspect_call& c);
task<outcome> lineage_of(aspect_call& c);

// dialogue.cpp: the philosopher's.
task<outcome> refine(aspect_call& c);
task<outcome> dialectic(aspect_call& c);
task<outcome> synthesize(aspect_call& c);
task<outcome> analyze(aspect_call& c);
task<outcome> critique(aspect_call& c);

// inquiry.cpp: the scientist's and the engineer's.
task<outcome> hypothesize(aspect_call& c);
task<outcome> validate(aspect_call& c);
task<outcome> classify(aspect_call& c);
task<outcome> implement(aspect_call& c);
task<outcome> decompose(aspect_call& c);
task<outcome> optimize(aspect_call& c);

// expression.cpp: the artist's and the teacher's.
task<outcome> interpret(aspect_call& c);
task<outcome> express(aspect_call& c);
task<outcome> inspire(aspect_call& c);
task<outcome> explain(aspect_call& c);
task<outcome> simplify(aspect_call& c);
task<outcome> exemplify(aspect_call& c);
task<outcome> assess(aspect_call& c);

// inherited.cpp: what only a lineage gives.
task<outcome> identify(aspect_call& c);
task<outcome> execute(aspect_call& c);
task<outcome> compose(aspect_call& c);
task<outcome> connect(aspect_call& c);
task<outcome> traverse(aspect_call& c);
task<outcome> measure(aspect_call& c);

}  // namespace kgents::actors::idea
