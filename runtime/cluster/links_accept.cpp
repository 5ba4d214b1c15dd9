// Who is let in.

#include <algorithm>

#include "runtime/cluster/links.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::cluster {

namespace {

// When the process is out of file descriptors, trying at once would spin.
constexpr auto accept_pause = std::chrono::milliseconds{100};

}  // namespace

void links::accept() {
  acceptor_.async_accept(thread_.context(),
                         [self = shared_from_this()](error_code ec, tcp_socket socket) {
                           self->accepted(ec, std::move(socket));
                         });
}

void links::accepted(error_code ec, tcp_socket socket) {
  if (stopped_)
    return;
  if (ec) {
    if (log_rarely_.passes({}, "accept", clock::now()))
      log::warn("cannot accept connections of peers", {{"reason", ec.message()}});
    return thread_.wheel().arm(accept_later_, accept_pause);
  }
  auto session = tls_ ? tls_->open(link_side::accepts) : nullptr;
  if (tls_ && !session)
    return accept();  // out of memory: the connection is closed
  if (strangers_.size() >= options_->max_unidentified) {
    // The oldest goes, not the newest: whoever fills the room would else lock out real peers.
    const auto oldest = strangers_.front();
    ++options_->figures->refused;
    if (log_rarely_.passes(oldest->address(), "crowd", clock::now()))
      log::warn("refused a peer", {{"address", oldest->address()},
                                   {"reason", "too many connections that have not said hello"},
                                   {"most", options_->max_unidentified}});
    strangers_.pop_front();
    oldest->close();
  }
  strangers_.push_back(std::make_shared<peer_link>(thread_, options_, link_side::accepts,
                                                   std::move(socket), std::move(session), *this));
  strangers_.back()->start();
  accept();
}

// Why we want no link with the sender of this hello; empty: nothing.
std::string links::objection(const hello& theirs, std::string_view& reason) const {
  reason = "cluster";
  if (auto why = mismatch(theirs, own_hello({})); !why.empty())
    return why;
  reason = "identity";
  const auto id = std::to_string(theirs.from.value);
  const auto own = std::to_string(self_.value);
  if (!self_)
    return "this node has not joined the cluster yet";
  if (theirs.to != self_)
    return "it looks for node " + std::to_string(theirs.to.value) + ", this is node " + own;
  if (theirs.from == self_)
    return "it claims to be node " + id + ", which is this node";
  reason = "unknown";
  if (!peers_.contains(theirs.from))
    return "node " + id + " is not among the members that this node (" + own + ") knows";
  reason = "order";
  if (theirs.from < self_)
    return "node " + id + " dialled node " + own + ", but the higher one must dial";
  return {};
}

void links::greeted_by_dialler(peer_link& x, const hello& theirs) {
  std::string_view reason;
  if (const auto why = objection(theirs, reason); !why.empty())
    return refuse(x, reason, why);
  const auto it = std::find_if(strangers_.begin(), strangers_.end(),
                               [&](const auto& y) { return y.get() == &x; });
  const auto link = *it;
  strangers_.erase(it);
  auto& p = *find(theirs.from);
  // It dials only when it has no link: ours is one whose end did not reach us.
  drop(p, "replaced by a newer connection");
  up(p, link);
}

void links::refuse(peer_link& x, std::string_view reason, const std::string& why) {
  ++options_->figures->refused;
  if (log_rarely_.passes(x.address(), reason, clock::now()))
    log::warn("refused a peer", {{"address", x.address()}, {"reason", why}});
  x.refuse(encode(refusal{why}));
}

void links::stranger_failed(peer_link& x, peer_link::fault what, std::string_view why) {
  const bool tls = what == peer_link::fault::tls;
  if (x.heard())
    ++options_->figures->refused;
  if (!x.heard())  // a port check of the platform's, every few seconds
    log::debug("a connection ended without a byte", {{"address", x.address()}});
  else if (log_rarely_.passes(x.address(), tls ? "tls" : "hello", clock::now()))
    log::warn("refused a peer", {{"address", x.address()}, {"reason", why}});
  // After a failed handshake the alert has said it. To others in words: those who speak something
  // else read nothing of it, but a peer without TLS that dials one without does.
  if (tls)
    x.linger();
  else
    x.refuse(encode(refusal{std::string{why}}));
}

}  // namespace kgents::runtime::cluster
