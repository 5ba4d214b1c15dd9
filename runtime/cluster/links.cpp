#include "runtime/cluster/links.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <stdexcept>
#include <utility>

#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::cluster {

namespace {

// What the kernel holds before we accept: all peers of a large cluster at once.
constexpr int backlog = 128;

std::shared_ptr<const tls_identity> load_tls(const transport_options& x) {
  if (x.ca.empty() && x.cert.empty() && x.key.empty())
    return nullptr;
  if (x.ca.empty() || x.cert.empty() || x.key.empty())
    throw std::runtime_error{
        "the peer link needs all of KGENTS_CLUSTER_TLS_CA, KGENTS_CLUSTER_TLS_CERT and "
        "KGENTS_CLUSTER_TLS_KEY, or none of them"};
  return std::make_shared<const tls_identity>(x.ca, x.cert, x.key);
}

}  // namespace

links::links(io_thread& thread, transport_options options, transport_handlers handlers)
    : thread_{thread},
      options_{std::make_shared<const transport_options>(std::move(options))},
      handlers_{std::move(handlers)},
      acceptor_{thread.context()},
      accept_later_{[this] { accept(); }} {
  if (options_->host.empty())
    return;
  for (const auto* name : {&options_->cluster, &options_->node_name})
    if (name->size() > max_hello_name_bytes)
      throw std::runtime_error{"the names of a cluster and of a node have at most " +
                               std::to_string(max_hello_name_bytes) + " bytes: " + *name};
  tls_ = load_tls(*options_);
  listen();
}

void links::listen() {
  error_code ec;
  tcp::resolver resolver{thread_.context()};
  const auto found = resolver.resolve(options_->host, std::to_string(options_->port),
                                      tcp::resolver::numeric_service, ec);
  if (!ec && found.empty())
    ec = boost::asio::error::host_not_found;
  for (auto it = found.begin(); it != found.end(); ++it) {
    error_code ignored;
    acceptor_.close(ignored);
    acceptor_.open(it->endpoint().protocol(), ec);
    if (!ec)
      acceptor_.set_option(acceptor::reuse_address{true}, ec);
    if (!ec)
      acceptor_.bind(it->endpoint(), ec);
    if (!ec)
      acceptor_.listen(backlog, ec);
    if (!ec)
      break;
  }
  if (ec)
    throw std::runtime_error{"cannot listen for peers on " + options_->host + " port " +
                             std::to_string(options_->port) + ": " + ec.message() +
                             "; KGENTS_CLUSTER_HOST must be an address of this machine (or a name "
                             "for one) and KGENTS_CLUSTER_PORT must be free"};
  port_ = acceptor_.local_endpoint().port();
}

links::peer_state* links::find(node_id id) {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : &it->second;
}

hello links::own_hello(node_id to) const {
  return {options_->protocol, self_, to, options_->cluster, options_->node_name};
}

void links::identify(node_id self) {
  if (stopped_ || self == self_)
    return;
  self_ = self;
  for (auto& [id, p] : peers_) {
    hang_up(p);
    drop(p, "this node has a new identity");
    p.attempts = 0;
  }
  peers_.erase(self_);
  for (auto& x : std::exchange(strangers_, {}))
    x->close();
  for (auto& [id, p] : peers_)
    if (id < self_)
      dial(p);
  if (!accepting_ && acceptor_.is_open()) {
    accepting_ = true;
    accept();
  }
  tell_downs();
}

void links::keep(std::vector<transport_peer> peers) {
  if (stopped_ || options_->host.empty())
    return;
  const auto wanted = [&](node_id id) {
    return std::any_of(peers.begin(), peers.end(), [&](const auto& x) { return x.id == id; });
  };
  for (auto it = peers_.begin(); it != peers_.end();) {
    if (wanted(it->first)) {
      ++it;
      continue;
    }
    hang_up(it->second);
    drop(it->second, "no link to that node is wanted any more");
    it = peers_.erase(it);
  }
  for (auto& x : peers) {
    if (!x.id || x.id == self_)
      continue;
    const auto [it, is_new] = peers_.try_emplace(x.id);
    auto& p = it->second;
    if (is_new)
      p.again.on_fire([this, id = x.id] { dial(*find(id)); });
    const bool changed = !(p.who == x);
    p.who = std::move(x);
    if (changed && p.who.id < self_ && !p.link) {  // new, or it moved: do not wait for the old one
      hang_up(p);
      dial(p);
    }
  }
  tell_downs();
}

bool links::send(node_id to, std::string_view frame) {
  if (frame.empty() || frame.size() > options_->max_frame_bytes)
    throw std::length_error{"a frame of " + std::to_string(frame.size()) +
                            " bytes; a peer link takes 1 to " +
                            std::to_string(options_->max_frame_bytes)};
  auto* p = find(to);
  if (stopped_ || p == nullptr || !p->link || !p->link->announced)
    return false;
  p->link->send(frame);
  if (p->link->unsent() <= options_->max_unsent_bytes)
    return true;
  drop(*p, "overrun: " + std::to_string(p->link->unsent()) + " bytes unsent, at most " +
               std::to_string(options_->max_unsent_bytes) + " are kept");
  // Not from within `send`: its caller may be walking through what `down` would change.
  boost::asio::post(thread_.context(), [self = shared_from_this()] { self->tell_downs(); });
  return false;
}

size_t links::unsent(node_id to) const {
  const auto it = peers_.find(to);
  return it == peers_.end() || !it->second.link ? 0 : it->second.link->unsent();
}

bool links::linked(node_id to) const {
  const auto it = peers_.find(to);
  return it != peers_.end() && it->second.link && it->second.link->announced;
}

std::string links::reload() {
  if (!tls_)
    return {};
  try {
    tls_ = load_tls(*options_);
    return {};
  } catch (const std::runtime_error& x) {
    return x.what();
  }
}

void links::stop() {
  stopped_ = true;
  error_code ignored;
  acceptor_.close(ignored);
  accept_later_.disarm();
  for (auto& x : std::exchange(strangers_, {}))
    x->close();
  for (auto& [id, p] : peers_) {
    hang_up(p);
    if (p.link)
      p.link->finish();
  }
  peers_.clear();
  downs_.clear();
}

void links::up(peer_state& p, link_ptr x) {
  const auto id = p.who.id;
  p.link = x;
  p.up_since = clock::now();
  x->peer = id;
  x->open();
  if (x->side() == link_side::accepts)
    x->send(encode(own_hello(id)));
  tell_downs();  // of its predecessor; whoever hears that may cut this one as well
  if (stopped_ || x->closed())
    return;
  x->announced = true;
  log::info("a peer link is up", {{"peer", p.who.name},
                                  {"node", id.value},
                                  {"address", x->address()},
                                  {"tls", tls_ != nullptr}});
  if (handlers_.up)
    handlers_.up(id);
}

// Closes its link; `tell_downs` tells. Whoever dials dials again.
void links::drop(peer_state& p, std::string why) {
  if (!p.link)
    return;
  const auto x = std::exchange(p.link, nullptr);
  x->close();
  if (x->announced) {
    log::warn("a peer link is down",
              {{"peer", p.who.name}, {"node", p.who.id.value}, {"reason", why}});
    downs_.emplace_back(p.who.id, std::move(why));
  }
  // A link that stood for a while was a good one; one that breaks at once is as good as none.
  if (clock::now() - p.up_since >= options_->backoff_most)
    p.attempts = 0;
  if (p.who.id < self_)
    dial_later(p);
}

void links::tell_downs() {
  while (!downs_.empty() && !stopped_) {
    const auto [id, why] = std::move(downs_.front());
    downs_.pop_front();
    if (handlers_.down)
      handlers_.down(id, why);
  }
}

void links::secured(peer_link& x) {
  if (x.side() == link_side::dials)
    x.send(encode(own_hello(x.peer)));
}

void links::greeted(peer_link& x, std::span<const char> first_frame) {
  if (x.side() == link_side::dials)
    return answered(x, first_frame);
  const auto parsed = parse_first_frame(first_frame);
  if (const auto* theirs = std::get_if<hello>(&parsed))
    return greeted_by_dialler(x, *theirs);
  const auto* bad = std::get_if<malformed>(&parsed);
  refuse(x, "hello", bad != nullptr ? bad->text : "it began with a refusal");
}

void links::received(peer_link& x, std::span<const char> frame) {
  if (handlers_.frame)
    handlers_.frame(x.peer, frame);
}

void links::drained(peer_link& x) {
  if (x.announced && handlers_.writable)
    handlers_.writable(x.peer);
}

void links::failed(peer_link& x, peer_link::fault what, std::string_view why) {
  auto* p = x.peer ? find(x.peer) : nullptr;
  if (p != nullptr && p->link.get() == &x) {
    drop(*p, std::string{why});
    return tell_downs();
  }
  if (p != nullptr && p->greeting.get() == &x)
    return dial_failed(*p, what == peer_link::fault::tls ? "tls" : "hello", why);
  stranger_failed(x, what, why);
}

void links::gone(peer_link& x) {
  std::erase_if(strangers_, [&](const auto& y) { return y.get() == &x; });
}

}  // namespace kgents::runtime::cluster
