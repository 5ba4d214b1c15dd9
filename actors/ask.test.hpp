#pragma once

#include <caf/event_based_actor.hpp>
#include <memory>
#include <optional>

#include "protocol/messages.hpp"

/// Requests of a test: an answer that may be there, be missing yet, or never come.
namespace kgents::actors::test {

template <class T>
using reply = std::shared_ptr<std::optional<answer<T>>>;

/// What an actor that died without an answer is taken for.
inline const refusal lost{599, "lost", 0, "lost"};

template <class T, class Message>
caf::behavior asker(caf::event_based_actor* self, const caf::actor& to, const Message& message,
                    const reply<T>& out) {
  self->request(to, caf::infinite, message)
      .then([out](answer<T>& x) { *out = std::move(x); },
            [out](const caf::error&) { *out = answer<T>{lost}; });
  return {[](int) {}};
}

}  // namespace kgents::actors::test
