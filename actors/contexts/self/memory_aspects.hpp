#pragma once

#include "actors/contexts/call.hpp"

/// The aspects of self.memory; their table is in memory.cpp.
namespace kgents::actors::self_memory {

// memory_entries.cpp: keys and values.
task<outcome> recall(aspect_call& c);
task<outcome> forget(aspect_call& c);
task<outcome> consolidate(aspect_call& c);
task<outcome> prune(aspect_call& c);
task<outcome> checkpoint(aspect_call& c);
task<outcome> engram(aspect_call& c);

// memory_crystals.cpp: working contexts that are put aside.
task<outcome> crystallize_window(aspect_call& c);
task<outcome> resume(aspect_call& c);
task<outcome> cherish(aspect_call& c);
task<outcome> reap(aspect_call& c);
task<outcome> expiring_soon(aspect_call& c);

// memory_concepts.cpp: contents found by likeness, and the traces left at them.
task<outcome> store(aspect_call& c);
task<outcome> retrieve(aspect_call& c);
task<outcome> compress(aspect_call& c);
task<outcome> promote(aspect_call& c);
task<outcome> demote(aspect_call& c);
task<outcome> deposit(aspect_call& c);
task<outcome> sense(aspect_call& c);
task<outcome> play(aspect_call& c);
task<outcome> evaluate(aspect_call& c);
task<outcome> inference_consolidate(aspect_call& c);

}  // namespace kgents::actors::self_memory
