#include "runtime/agentese/event_feed.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "runtime/agentese/limits.hpp"
#include "sql/agentese_events.hpp"
#include "sql/listener.hpp"

namespace kgents::runtime::agentese {

namespace {

/// What the database tells: `name seq`.
constexpr std::string_view channel = "kg_agentese";

/// A log's name on the channel: half of the hex SHA-256 of its tenant's id. PostgreSQL lets every
/// role listen, and who hears of an id could open its tenant's context; from this nobody gets it.
std::string name_of(tenant_id tenant) {
  const auto& id = tenant.value.bytes;
  std::array<unsigned char, 32> digest{};
  EVP_Digest(id.data(), id.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (size_t i = 0; i < 16; ++i) {
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

}  // namespace

class event_feed::impl : public std::enable_shared_from_this<impl> {
public:
  impl(boost::asio::io_context& context, sql::transactor& app, sql::transactor& control,
       const std::vector<io_thread*>& threads, subscription_metrics& metrics, options how)
      : context_{context},
        poll_{context},
        app_{app},
        control_{control},
        metrics_{metrics},
        how_{std::move(how)},
        node_{uuid::random().text().substr(0, 8)} {
    for (auto* thread : threads) {
      const auto i = hubs_.size();
      hubs_.push_back(std::make_unique<event_hub>(
          *thread, event_hub::feed_calls{
                       [this, i](tenant_id tenant, uint64_t stay) {
                         post([tenant, i, stay](impl& x) { x.want(tenant, i, stay); });
                       },
                       [this, i](tenant_id tenant, uint64_t stay) {
                         post([tenant, i, stay](impl& x) { x.leave(tenant, i, stay); });
                       }}));
    }
  }

  void start() {
    if (how_.listen_url.empty())
      return;
    sql::listener_options options;
    options.url = how_.listen_url;
    options.channels = {std::string{channel}};
    options.application_name = "kgentsd-events";
    sql::listener_events events;
    events.listening = [this] { poll(); };
    events.notified = [this](std::string_view, std::string_view text) { told(text); };
    listener_ =
        std::make_unique<sql::listener>(context_, std::move(options), std::move(events));
  }

  void stop() {
    post([](impl& x) {
      x.stopped_ = true;
      x.poll_.cancel();
      x.logs_.clear();
      x.names_.clear();
      x.listener_.reset();
    });
  }

  event_reader::parts parts_for(size_t thread) { return {*hubs_[thread], app_, metrics_}; }

  std::string id_of(const event_reader& reader, size_t thread) const {
    return "sub-" + node_ + '-' + std::to_string(thread) + '-' + std::to_string(reader.number());
  }

  void grown(const std::vector<std::pair<tenant_id, int64_t>>& logs) {
    for (const auto& [tenant, seq] : logs) {
      const auto at = logs_.find(tenant);
      if (at == logs_.end() || at->second.known >= seq)
        continue;
      at->second.known = seq;
      read(tenant, at->second);
    }
  }

  void wake_all() {
    for (auto& hub : hubs_)
      boost::asio::post(hub->thread().context(), [self = shared_from_this(), hub = hub.get()] {
        hub->wake_all();
      });
  }

  void list(tenant_id tenant, std::function<void(std::vector<listed_subscription>)> done) {
    struct gathered {
      std::mutex mutex;
      std::vector<listed_subscription> all;
      size_t missing = 0;
    };
    auto result = std::make_shared<gathered>();
    result->missing = hubs_.size();
    for (size_t i = 0; i < hubs_.size(); ++i)
      boost::asio::post(hubs_[i]->thread().context(), [self = shared_from_this(), tenant, i, result,
                                                       done] {
        std::unique_lock guard{result->mutex};
        for (const auto* reader : self->hubs_[i]->readers_of(tenant))
          result->all.push_back({self->id_of(*reader, i), reader->config().pattern.text(),
                                 reader->config().delivery, reader->config().buffer_size,
                                 reader->pending()});
        if (--result->missing > 0)
          return;
        guard.unlock();
        done(std::move(result->all));
      });
  }

  void acknowledge(tenant_id tenant, std::string_view id, const uuid& event,
                   std::function<void(std::optional<bool>)> done) {
    const auto prefix = "sub-" + node_ + '-';
    size_t thread = 0;
    uint64_t number = 0;
    bool ours = id.starts_with(prefix);
    if (ours) {
      const auto* at = id.data() + prefix.size();
      const auto* end = id.data() + id.size();
      const auto first = std::from_chars(at, end, thread);
      ours = first.ec == std::errc{} && first.ptr != end && *first.ptr == '-' &&
             thread < hubs_.size();
      if (ours) {
        const auto second = std::from_chars(first.ptr + 1, end, number);
        ours = second.ec == std::errc{} && second.ptr == end;
      }
    }
    if (!ours)
      thread = 0;
    boost::asio::post(hubs_[thread]->thread().context(),
                      [self = shared_from_this(), tenant, thread, number, ours, event, done] {
                        auto* reader = ours ? self->hubs_[thread]->find(tenant, number) : nullptr;
                        done(reader == nullptr ? std::optional<bool>{}
                                               : std::optional{reader->acknowledge(event)});
                      });
  }

private:
  struct place {
    size_t thread = 0;
    uint64_t stay = 0;
  };
  struct log {
    std::vector<place> places;
    int64_t read = 0;   // handed out up to this seq
    int64_t known = 0;  // has grown to this
    bool begun = false;
    bool reading = false;
    uint64_t generation = 0;  // answers to an earlier log of the tenant are dropped
  };

  template <class F>
  void post(F f) {
    boost::asio::post(context_, [self = shared_from_this(), f = std::move(f)] { f(*self); });
  }

  template <class F>
  void tell(const place& where, F f) {
    auto* hub = hubs_[where.thread].get();
    boost::asio::post(hub->thread().context(),
                      [self = shared_from_this(), hub, f = std::move(f)] { f(*hub); });
  }

  void told(std::string_view text) {
    const auto space = text.find(' ');
    const auto at = names_.find(std::string{text.substr(0, space)});
    if (at == names_.end() || space == std::string_view::npos)
      return;
    int64_t seq = 0;
    std::from_chars(text.data() + space + 1, text.data() + text.size(), seq);
    grown({{at->second, seq}});
  }

  void forget(tenant_id tenant) {
    names_.erase(name_of(tenant));
    logs_.erase(tenant);
  }

  void want(tenant_id tenant, size_t thread, uint64_t stay) {
    const place here{thread, stay};
    if (stopped_) {
      tell(here, [=](event_hub& hub) { hub.failed(tenant, stay); });
      return;
    }
    const auto [at, added] = logs_.try_emplace(tenant);
    if (added)
      names_.emplace(name_of(tenant), tenant);
    auto& x = at->second;
    x.places.push_back(here);
    if (x.begun)
      tell(here, [=, seq = x.read](event_hub& hub) { hub.begun(tenant, stay, seq); });
    else if (x.places.size() == 1)
      begin(tenant, x);
    if (!polling_)
      arm_poll();
  }

  void leave(tenant_id tenant, size_t thread, uint64_t stay) {
    const auto at = logs_.find(tenant);
    if (at == logs_.end())
      return;
    std::erase_if(at->second.places,
                  [=](const place& x) { return x.thread == thread && x.stay == stay; });
    if (at->second.places.empty())
      forget(tenant);
  }

  log* expected(tenant_id tenant, uint64_t generation) {
    const auto at = logs_.find(tenant);
    return at == logs_.end() || at->second.generation != generation ? nullptr : &at->second;
  }

  void begin(tenant_id tenant, log& x) {
    x.generation = ++generations_;
    auto query = sql::agentese_events::last_seqs({tenant});
    query.work.about = tenant;
    query.work.deadline = std::chrono::steady_clock::now() + limits::feed_deadline;
    using result = std::vector<std::pair<tenant_id, int64_t>>;
    sql::run(control_, std::move(query),
             [self = shared_from_this(), tenant, generation = x.generation](
                 const sql::answer<result>& out) {
               if (auto* mine = self->expected(tenant, generation))
                 self->begun(tenant, *mine, out);
             });
  }

  void begun(tenant_id tenant, log& x,
             const sql::answer<std::vector<std::pair<tenant_id, int64_t>>>& out) {
    const auto* ends = std::get_if<0>(&out);
    if (ends == nullptr) {
      for (const auto& where : x.places)
        tell(where, [tenant, where](event_hub& hub) { hub.failed(tenant, where.stay); });
      forget(tenant);
      return;
    }
    x.begun = true;
    turns_.emplace_back(tenant, x.generation);
    x.read = ends->empty() ? 0 : ends->front().second;
    for (const auto& where : x.places)
      tell(where, [tenant, where, seq = x.read](event_hub& hub) {
        hub.begun(tenant, where.stay, seq);
      });
    read(tenant, x);
  }

  void read(tenant_id tenant, log& x) {
    if (!x.begun || x.reading || x.known <= x.read)
      return;
    x.reading = true;
    due_.emplace_back(tenant, x.generation);
    read_due();
  }

  void read_due() {
    while (reads_ < limits::feed_reads && !due_.empty()) {
      const auto [tenant, generation] = due_.front();
      due_.pop_front();
      auto* x = expected(tenant, generation);
      if (x == nullptr)
        continue;
      ++reads_;
      auto query = sql::agentese_events::page(tenant, x->read, limits::feed_page);
      query.work.deadline = std::chrono::steady_clock::now() + limits::feed_deadline;
      sql::run(app_, std::move(query),
               [self = shared_from_this(), tenant = tenant,
                generation = generation](sql::answer<std::vector<event_ptr>> out) {
                 --self->reads_;
                 if (auto* mine = self->expected(tenant, generation))
                   self->hand_out(tenant, *mine, std::move(out));
                 self->read_due();
               });
    }
  }

  void hand_out(tenant_id tenant, log& x, sql::answer<std::vector<event_ptr>> out) {
    x.reading = false;
    auto* page = std::get_if<0>(&out);
    if (page == nullptr)
      return;  // until the next poll
    if (page->empty()) {
      x.read = x.known;  // trimmed already; the next event tells the readers of the hole
      return;
    }
    x.read = page->back()->seq;
    x.known = std::max(x.known, x.read);
    const auto batch = std::make_shared<const std::vector<event_ptr>>(std::move(*page));
    for (const auto& where : x.places)
      tell(where, [tenant, where, batch](event_hub& hub) {
        hub.deliver(tenant, where.stay, batch);
      });
    read(tenant, x);
  }

  void arm_poll() {
    polling_ = !logs_.empty() && !stopped_;
    if (!polling_)
      return;
    poll_.expires_after(how_.poll);
    poll_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec)
        self->poll();
    });
  }

  /// Asks how far the logs have grown; when there are too many for one statement, they take turns.
  void poll() {
    if (stopped_ || asking_)
      return;
    std::vector<tenant_id> tenants;
    for (auto left = std::min(turns_.size(), limits::feed_poll_logs); left > 0; --left) {
      const auto [tenant, generation] = turns_.front();
      turns_.pop_front();
      auto* x = expected(tenant, generation);
      if (x == nullptr)
        continue;
      turns_.emplace_back(tenant, generation);
      tenants.push_back(tenant);
      read(tenant, *x);  // after a page that could not be read
    }
    ask_apart(tenants);
    if (tenants.empty()) {
      arm_poll();
      return;
    }
    asking_ = true;
    auto query = sql::agentese_events::last_seqs(tenants);
    query.work.deadline = std::chrono::steady_clock::now() + limits::feed_deadline;
    using result = std::vector<std::pair<tenant_id, int64_t>>;
    sql::run(control_, std::move(query),
             [self = shared_from_this()](const sql::answer<result>& out) {
               self->asking_ = false;
               if (const auto* ends = std::get_if<result>(&out))
                 self->grown(*ends);
               self->arm_poll();
             });
  }

  /// The logs of tenants that are apart, each asked for on its own and waited for by nobody: what
  /// cannot be reached holds up no other. Leaves the others in `tenants`.
  void ask_apart(std::vector<tenant_id>& tenants) {
    const auto shared = [this](const tenant_id& x) { return !control_.apart(x); };
    const auto own = std::stable_partition(tenants.begin(), tenants.end(), shared);
    for (auto at = own; at != tenants.end(); ++at) {
      auto query = sql::agentese_events::last_seqs({*at});
      query.work.about = *at;
      query.work.deadline = std::chrono::steady_clock::now() + how_.poll;
      using result = std::vector<std::pair<tenant_id, int64_t>>;
      sql::run(control_, std::move(query),
               [self = shared_from_this()](const sql::answer<result>& out) {
                 if (const auto* ends = std::get_if<result>(&out))
                   self->grown(*ends);
               });
    }
    tenants.erase(own, tenants.end());
  }

  boost::asio::io_context& context_;
  boost::asio::steady_timer poll_;
  sql::transactor& app_;
  sql::transactor& control_;
  subscription_metrics& metrics_;
  const options how_;
  const std::string node_;  // of this life; tells its ids from those of others
  std::vector<std::unique_ptr<event_hub>> hubs_;
  std::unique_ptr<sql::listener> listener_;

  std::unordered_map<tenant_id, log> logs_;
  std::unordered_map<std::string, tenant_id> names_;  // of those, as the channel has them
  std::deque<std::pair<tenant_id, uint64_t>> due_;    // to be read
  std::deque<std::pair<tenant_id, uint64_t>> turns_;  // to be polled
  size_t reads_ = 0;
  uint64_t generations_ = 0;
  bool polling_ = false;
  bool asking_ = false;
  bool stopped_ = false;
};

event_feed::event_feed(boost::asio::io_context& context, sql::transactor& app, sql::transactor& control,
                       const std::vector<io_thread*>& threads, subscription_metrics& metrics,
                       options how)
    : impl_{std::make_shared<impl>(context, app, control, threads, metrics, std::move(how))} {
  impl_->start();
}

event_feed::~event_feed() { impl_->stop(); }

event_reader::parts event_feed::parts_for(size_t thread) { return impl_->parts_for(thread); }

std::string event_feed::id_of(const event_reader& reader, size_t thread) const {
  return impl_->id_of(reader, thread);
}

void event_feed::grown(const std::vector<std::pair<tenant_id, int64_t>>& logs) {
  impl_->grown(logs);
}

void event_feed::wake_all() { impl_->wake_all(); }

void event_feed::stop() { impl_->stop(); }

void event_feed::list(tenant_id tenant,
                      std::function<void(std::vector<listed_subscription>)> done) {
  impl_->list(tenant, std::move(done));
}

void event_feed::acknowledge(tenant_id tenant, std::string_view subscription, const uuid& event,
                             std::function<void(std::optional<bool>)> done) {
  impl_->acknowledge(tenant, subscription, event, std::move(done));
}

}  // namespace kgents::runtime::agentese
