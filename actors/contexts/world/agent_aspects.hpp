#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "actors/contexts/call.hpp"
#include "actors/persona/modes.hpp"

/// What can be done with world.agent.<letter>; the table is in agents.cpp.
namespace kgents::actors::agent {

/// Who an agent is: one of the letters, or one that the tenant has set up.
struct profile {
  std::string id;  ///< empty: there is none
  std::string name;
  std::string task;  ///< what it is told to do
  persona::mode mode = persona::mode::advise;
  bool builtin = true;
  bool active = true;
};

/// The agent of a handle, or of its last segment.
task<profile> profile_of(aspect_call& c, std::string handle);
[[nodiscard]] agentese::error no_such_agent(const aspect_call& c);
[[nodiscard]] std::string system_prompt_of(const profile& x);
/// {agent, name, role, mode, kind, active}
[[nodiscard]] boost::json::object shown(const profile& x);

constexpr size_t answer_bytes = 16 * 1024;

// agent_talk.cpp
task<outcome> invoke(aspect_call& c);
task<outcome> compose(aspect_call& c);
task<outcome> test(aspect_call& c);
task<outcome> design(aspect_call& c);

// agent_watch.cpp
task<outcome> list(aspect_call& c);
task<outcome> manifest(aspect_call& c);
task<outcome> debug(aspect_call& c);
task<outcome> trace(aspect_call& c);
task<outcome> status(aspect_call& c);
task<outcome> metrics(aspect_call& c);
task<outcome> analyze(aspect_call& c);

}  // namespace kgents::actors::agent
