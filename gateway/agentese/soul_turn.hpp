#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "gateway/route.hpp"
#include "protocol/agentese/error.hpp"

/// What the soul says word by word, as turns of a session: the same token log and the same cursors
/// as a conversation, so a stream of it can be resumed like one.
///
/// Each user has one such session a node of the table, of type `agentese`, made at first use.
namespace kgents::gateway {

struct soul_question {
  std::string message;
  std::string mode;  ///< empty: the one that the session is in
};

/// What self.soul's `aspect` is asked by these arguments; INVALID_ARGUMENT when nothing is.
[[nodiscard]] std::variant<soul_question, agentese::error> read_soul_question(
    std::string_view full_path, std::string_view aspect, const boost::json::object& kwargs);

/// Where requests of one client run: callbacks come on its thread.
struct asker {
  node& at;
  runtime::io_thread& thread;
  credential_ptr who;
};

struct soul_turn {
  entity_id session;
  turn_id turn;
  lease_epoch epoch = 0;
};

/// Stores the question as a message of the session; its turn runs or waits then, whoever listens.
/// Refused as a message to any session is: mode (400), quota (429), queue (429).
void begin_soul_turn(const asker& by, std::string node, const soul_question& what,
                     std::function<void(std::variant<soul_turn, refusal>)> done);

struct found_turn {
  entity_id session;
  bool ended = false;
  int64_t last = 0;  ///< index of the event that ended it
};

/// A turn of this user and node, none when it is of nobody or of somebody else.
void find_soul_turn(const asker& by, std::string node, turn_id turn,
                    std::function<void(std::variant<std::optional<found_turn>, refusal>)> done);

}  // namespace kgents::gateway
