#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <type_traits>

#include "protocol/agentese/invocation.hpp"
#include "protocol/cluster.hpp"
#include "protocol/messages.hpp"
#include "protocol/traffic.hpp"
#include "runtime/attach.hpp"

/// What a port needs to ask entities of other nodes.
namespace kgents::runtime::cluster {

/// Which question it is, on the wire. 0: it never leaves its node.
template <class Message>
struct wire_tag : std::integral_constant<uint8_t, 0> {};
template <>
struct wire_tag<get_session> : std::integral_constant<uint8_t, 1> {};
template <>
struct wire_tag<update_session> : std::integral_constant<uint8_t, 2> {};
template <>
struct wire_tag<remove_session> : std::integral_constant<uint8_t, 3> {};
template <>
struct wire_tag<send_message> : std::integral_constant<uint8_t, 4> {};
template <>
struct wire_tag<cancel_turn> : std::integral_constant<uint8_t, 5> {};
template <>
struct wire_tag<attach_reader> : std::integral_constant<uint8_t, 6> {};
template <>
struct wire_tag<kgents::agentese::invoke_aspect> : std::integral_constant<uint8_t, 7> {};
template <>
struct wire_tag<take_traffic> : std::integral_constant<uint8_t, 8> {};

/// Asked again when nobody knows whether it was done: its second answer is the first one's. Of a
/// removal it is not ("not found" then), of a message only since its turn's id is given, and of a
/// cancellation of whatever runs it may be another turn that runs then. Who asks for permits has
/// something better to do than to wait for a lost node.
template <class Message>
[[nodiscard]] constexpr bool is_repeatable(const Message& x) {
  if constexpr (std::is_same_v<Message, send_message>)
    return !x.turn.value.is_nil();
  else if constexpr (std::is_same_v<Message, cancel_turn>)
    return !x.turn.value.is_nil();
  else if constexpr (std::is_same_v<Message, kgents::agentese::invoke_aspect>)
    return x.repeatable;
  else
    return !std::is_same_v<Message, remove_session> && !std::is_same_v<Message, take_traffic>;
}

enum class remote_outcome : uint8_t {
  answered,
  not_here,  ///< not done: that node does not hold the shard, or there is no link to it
  lost,      ///< the link went: maybe done
};

/// Reaches the entities of other nodes. Any thread; `done` is called once, on the cluster's thread.
class remote {
public:
  virtual ~remote() = default;

  using clock = std::chrono::steady_clock;

  /// `body` is the encoded message, the answer an encoded `answer<T>`. `forwards`: how often who is
  /// asked may pass it on.
  virtual void ask(node_id owner, const entity_id& to, uint8_t tag, std::string body,
                   uint8_t forwards, clock::time_point deadline,
                   std::function<void(remote_outcome, std::string)> done) = 0;

  /// A reader's place in this node's mirror of a session that lives on `owner`.
  virtual void attach(node_id owner, const entity_id& to, const attach_reader& how,
                      clock::time_point deadline,
                      std::function<void(remote_outcome, answer<attached>)> done) = 0;
};

}  // namespace kgents::runtime::cluster
