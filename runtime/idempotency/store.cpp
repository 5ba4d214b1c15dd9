#include "runtime/idempotency/store.hpp"

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <utility>

#include "protocol/ids.hpp"
#include "runtime/idempotency/memory_store.hpp"
#include "runtime/idempotency/redis_link.hpp"
#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::idempotency {

namespace asio = boost::asio;

namespace {

// A value is `p:<token>` while somebody does it and `d<answer>` afterwards (section 5). Scripts,
// since what is compared and what is set must not be two commands.
//
// -> {"fresh"}, {"in_progress"} or {"done", answer, milliseconds left}
constexpr std::string_view claim_script = R"(
local known = redis.call('GET', KEYS[1])
if not known then
  redis.call('SET', KEYS[1], 'p:' .. ARGV[1], 'PX', ARGV[2])
  return {'fresh'}
end
if string.sub(known, 1, 1) == 'd' then
  return {'done', string.sub(known, 2), redis.call('PTTL', KEYS[1])}
end
return {'in_progress'}
)";

// A claim that ran out and was not made again is still its holder's.
constexpr std::string_view complete_script = R"(
local known = redis.call('GET', KEYS[1])
if not known or known == 'p:' .. ARGV[1] then
  redis.call('SET', KEYS[1], 'd' .. ARGV[2], 'PX', ARGV[3])
end
return 'OK'
)";

constexpr std::string_view release_script = R"(
if redis.call('GET', KEYS[1]) == 'p:' .. ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 'OK'
)";

std::string milliseconds(std::chrono::seconds x) {
  return std::to_string(std::chrono::milliseconds{x}.count());
}

auto now() { return std::chrono::steady_clock::now(); }

std::shared_ptr<asio::ssl::context> make_tls() {
  auto out = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_client);
  out->set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  out->set_verify_mode(asio::ssl::verify_peer);
  out->set_default_verify_paths();
  return out;
}

}  // namespace

/// Everything but `status` happens on the context's thread.
class store::impl : public std::enable_shared_from_this<impl> {
public:
  impl(asio::io_context& context, std::optional<redis_address> redis, redis_metrics& counted)
      : context_{context}, redis_{std::move(redis)}, counted_{counted} {
    if (redis_) {
      retry_ = std::make_unique<asio::steady_timer>(context);
      if (redis_->tls)
        tls_ = make_tls();
    }
    status_.configured = redis_.has_value();
  }

  void start() {
    if (redis_)
      post([](impl& self) { self.connect(); });
  }

  /// Runs `f` on the thread; false once it has been stopped.
  template <class F>
  bool post(F f) {
    if (stopped_)
      return false;
    asio::post(context_, [self = shared_from_this(), f = std::move(f)]() mutable { f(*self); });
    return true;
  }

  void claim(const std::string& id, std::chrono::seconds for_at_most,
             const std::function<void(claimed)>& done) {
    auto mine = memory_.claim(id, uuid::random().text(), now(), for_at_most);
    if (mine.state != claim_state::fresh || !usable())
      return answer(std::move(mine), done);
    const auto ask = mine.token;
    link_->send({"EVAL", claim_script, "1", id, ask, milliseconds(for_at_most)},
                [self = shared_from_this(), id, done,
                 mine = std::move(mine)](std::optional<redis_reply> x) {
                  self->answer(self->agreed(id, mine, x), done);
                });
  }

  void complete(const std::string& id, const std::string& token, std::string result,
                std::chrono::seconds keep) {
    if (usable())
      link_->send({"EVAL", complete_script, "1", id, token, result, milliseconds(keep)}, counter());
    memory_.complete(id, token, std::move(result), now(), keep);
    counted_.entries.Set(static_cast<double>(memory_.entries()));
  }

  void release(const std::string& id, const std::string& token) {
    memory_.release(id, token);
    if (usable())
      link_->send({"EVAL", release_script, "1", id, token}, counter());
    counted_.entries.Set(static_cast<double>(memory_.entries()));
  }

  store_status status() const {
    const std::lock_guard guard{mutex_};
    return status_;
  }

  void stop() {
    if (stopped_.exchange(true))
      return;
    asio::post(context_, [self = shared_from_this()] {
      if (self->link_)
        self->link_->close();
      self->link_.reset();
      self->retry_.reset();
    });
  }

private:
  [[nodiscard]] bool usable() const {
    return ready_ && !stopped_ && link_->waiting() < commands_in_flight;
  }

  /// What this node and Redis know together. Without an answer from Redis, what this node knows.
  claimed agreed(const std::string& id, const claimed& mine, const std::optional<redis_reply>& x) {
    using kind = redis_reply::kind;
    if (!x || x->is != kind::list || x->list.empty()) {
      failed(x);
      return mine;
    }
    const auto& word = x->list.front().text;
    if (word == "fresh")
      return mine;
    if (word == "done" && x->list.size() == 3) {
      const auto left = std::chrono::milliseconds{std::max<int64_t>(x->list[2].number, 0)};
      memory_.complete(id, mine.token, x->list[1].text, now(), left);
      return {claim_state::done, {}, x->list[1].text};
    }
    memory_.release(id, mine.token);
    return {claim_state::in_progress, {}, {}};
  }

  void answer(claimed x, const std::function<void(claimed)>& done) {
    counted_.entries.Set(static_cast<double>(memory_.entries()));
    (x.state == claim_state::fresh         ? counted_.fresh
     : x.state == claim_state::in_progress ? counted_.in_progress
                                           : counted_.done)
        .Increment();
    done(std::move(x));
  }

  redis_link::on_reply counter() {
    return [self = shared_from_this()](const std::optional<redis_reply>& x) {
      if (!x || x->is == redis_reply::kind::error)
        self->failed(x);
    };
  }

  void failed(const std::optional<redis_reply>& x) {
    // A lost connection is counted once, where it is noticed.
    if (x)
      counted_.errors.Increment();
  }

  void connect() {
    if (stopped_)
      return;
    link_ = std::make_shared<redis_link>(
        context_, *redis_, tls_,
        redis_link::callbacks{[this] { up(); }, [this](const std::string& why) { down(why); }});
    link_->start();
  }

  void up() {
    ready_ = true;
    counted_.connected.Set(1);
    log::info("redis in reach");
    {
      const std::lock_guard guard{mutex_};
      status_.connected = true;
      status_.error.clear();
    }
    look_again();
  }

  /// An idle connection would not notice that Redis is gone.
  void look_again() {
    if (stopped_)
      return;
    retry_->expires_after(probe_every);
    retry_->async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (ec || !self->ready_)
        return;
      self->link_->send({"PING"}, self->counter());
      self->look_again();
    });
  }

  void down(const std::string& why) {
    const bool news = std::exchange(ready_, false) || status().error.empty();
    counted_.connected.Set(0);
    counted_.errors.Increment();
    if (news)
      log::warn("redis out of reach: idempotency in memory", {{"error", why}});
    {
      const std::lock_guard guard{mutex_};
      status_.connected = false;
      status_.error = why;
    }
    if (stopped_)
      return;
    retry_->expires_after(probe_every);
    retry_->async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec)
        self->connect();
    });
  }

  asio::io_context& context_;
  const std::optional<redis_address> redis_;
  redis_metrics& counted_;
  memory_store memory_;
  std::shared_ptr<asio::ssl::context> tls_;
  std::shared_ptr<redis_link> link_;
  std::unique_ptr<asio::steady_timer> retry_;
  bool ready_ = false;
  std::atomic<bool> stopped_{false};
  mutable std::mutex mutex_;
  store_status status_;
};

store::store(asio::io_context& context, const secret& redis_url, redis_metrics& counted)
    : impl_{std::make_shared<impl>(
          context,
          redis_url.empty() ? std::nullopt : parse_redis_url(redis_url.reveal()), counted)} {
  impl_->start();
}

store::~store() { stop(); }

void store::claim(std::string id, std::chrono::seconds for_at_most,
                  std::function<void(claimed)> done) {
  const bool asked = impl_->post([id = std::move(id), for_at_most, done](impl& x) {
    x.claim(id, for_at_most, done);
  });
  if (!asked)
    done({});
}

void store::complete(std::string id, std::string token, std::string answer,
                     std::chrono::seconds keep) {
  impl_->post([id = std::move(id), token = std::move(token), answer = std::move(answer),
               keep](impl& x) mutable { x.complete(id, token, std::move(answer), keep); });
}

void store::release(std::string id, std::string token) {
  impl_->post([id = std::move(id), token = std::move(token)](impl& x) { x.release(id, token); });
}

store_status store::status() const { return impl_->status(); }

void store::stop() { impl_->stop(); }

}  // namespace kgents::runtime::idempotency
