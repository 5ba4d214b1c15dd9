// How the others are reached.

#include <algorithm>

#include "runtime/cluster/links.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::cluster {

void links::dial(peer_state& p) {
  const auto id = p.who.id;
  p.again.disarm();
  p.connecting = connector::start(thread_, p.who.host, p.who.port, options_->connect_within,
                                  [this, id](const std::string& why, tcp_socket socket) {
                                    connected(id, why, std::move(socket));
                                  });
}

void links::hang_up(peer_state& p) {
  p.again.disarm();
  if (const auto x = std::exchange(p.connecting, nullptr))
    x->cancel();
  if (const auto x = std::exchange(p.greeting, nullptr))
    x->close();
}

void links::connected(node_id to, const std::string& why, tcp_socket socket) {
  auto& p = *find(to);  // when it goes, its connector is cancelled
  p.connecting = nullptr;
  if (!why.empty())
    return dial_failed(p, "connect", why);
  auto session = tls_ ? tls_->open(link_side::dials) : nullptr;
  if (tls_ && !session)
    return dial_failed(p, "memory", "out of memory");
  p.greeting = std::make_shared<peer_link>(thread_, options_, link_side::dials, std::move(socket),
                                           std::move(session), *this);
  p.greeting->peer = to;
  p.greeting->start();
}

void links::answered(peer_link& x, std::span<const char> first_frame) {
  auto& p = *find(x.peer);
  const auto parsed = parse_first_frame(first_frame);
  if (const auto* no = std::get_if<refusal>(&parsed))
    return dial_failed(p, "refused", "it refused this node: " + no->text);
  if (const auto* bad = std::get_if<malformed>(&parsed))
    return dial_failed(p, "hello", bad->text);
  const auto& theirs = std::get<hello>(parsed);
  if (const auto why = mismatch(theirs, own_hello({})); !why.empty())
    return dial_failed(p, "cluster", why);
  if (theirs.from != p.who.id)
    return dial_failed(p, "identity",
                       "node " + std::to_string(theirs.from.value) + " answered for node " +
                           std::to_string(p.who.id.value));
  up(p, std::exchange(p.greeting, nullptr));
}

void links::dial_failed(peer_state& p, std::string_view reason, std::string_view why) {
  const auto place = p.who.host + ':' + std::to_string(p.who.port);
  if (log_rarely_.passes(place, reason, clock::now()))
    log::warn(
        "cannot reach a peer",
        {{"peer", p.who.name}, {"node", p.who.id.value}, {"address", place}, {"reason", why}});
  hang_up(p);
  dial_later(p);
}

void links::dial_later(peer_state& p) {
  using std::chrono::milliseconds;
  const auto most = options_->backoff_most;
  const auto span = std::min(most, options_->backoff_first * (1 << std::min(p.attempts, 10u)));
  ++p.attempts;
  // Full jitter: peers that lost one another together do not come back together.
  std::uniform_int_distribution<milliseconds::rep> pick{0, span.count()};
  thread_.wheel().arm(p.again, milliseconds{pick(random_)});
}

}  // namespace kgents::runtime::cluster
