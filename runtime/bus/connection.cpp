#include "runtime/bus/connection.hpp"

#include <nats/nats.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <future>
#include <mutex>
#include <random>
#include <thread>

#include "runtime/telemetry/log.hpp"

namespace kgents::runtime::bus {

namespace {

using namespace std::chrono_literals;

constexpr auto close_within = 2s;

int64_t milliseconds(std::chrono::milliseconds x) { return x.count(); }

struct destroy {
  void operator()(natsOptions* x) const { natsOptions_Destroy(x); }
  void operator()(natsConnection* x) const { natsConnection_Destroy(x); }
  void operator()(natsSubscription* x) const { natsSubscription_Destroy(x); }
  void operator()(natsMsg* x) const { natsMsg_Destroy(x); }
};
template <class T>
using owned = std::unique_ptr<T, destroy>;

std::string_view body_of(const natsMsg* x) {
  return {natsMsg_GetData(x), static_cast<size_t>(natsMsg_GetDataLength(x))};
}

std::string_view text_of(natsStatus x) { return natsStatus_GetText(x); }

double draw() {
  thread_local std::minstd_rand source{std::random_device{}()};
  return std::uniform_real_distribution<double>{}(source);
}

acknowledgement::kind kind_of(natsMsg* answer) {
  if (natsMsg_IsNoResponders(answer))
    return acknowledgement::kind::refused;  // no stream takes the subject, or JetStream is off
  const auto body = body_of(answer);
  if (body.starts_with(R"({"stream":)"))  // what almost all are: not worth a parser
    return acknowledgement::kind::stored;
  return parse_acknowledgement(body).what;
}

}  // namespace

std::chrono::milliseconds reconnect_delay(int attempts, double lot) noexcept {
  std::chrono::milliseconds whole = limits::bus_reconnect_first;
  for (int i = 0; i < attempts && whole < limits::bus_reconnect_most; ++i)
    whole *= 2;
  whole = std::min<std::chrono::milliseconds>(whole, limits::bus_reconnect_most);
  const auto drawn = std::chrono::milliseconds{static_cast<int64_t>(
      static_cast<double>(whole.count()) * (0.5 + lot / 2))};
  return std::max<std::chrono::milliseconds>(drawn, limits::bus_reconnect_first);
}

std::string without_credentials(std::string_view url) {
  const auto scheme = url.find("://");
  const auto from = scheme == url.npos ? 0 : scheme + 3;
  const auto at = url.rfind('@');
  if (at == url.npos || at < from)
    return std::string{url};
  return std::string{url.substr(0, from)} + std::string{url.substr(at + 1)};
}

/// What cnats calls into. It outlives the connection's owner when a blocking call hangs.
class connection::impl : public std::enable_shared_from_this<impl> {
public:
  impl(options with, callbacks tell)
      : with_{std::move(with)},
        streams_{all_streams(with_.stream, with_.replicas)},
        tell_{std::move(tell)} {}

  void start() {
    thread_ = std::thread{[self = shared_from_this(), done = std::move(ended_)]() mutable {
      self->run();
      self.reset();
      done.set_value();
    }};
  }

  void stop() {
    {
      std::lock_guard guard{mutex_};
      if (stopped_)
        return;
      stopped_ = true;
    }
    changed_.notify_all();
    // A connection attempt to a server that hangs lasts a while: the process need not wait for it.
    if (over_.wait_for(close_within) == std::future_status::ready)
      thread_.join();
    else
      thread_.detach();
  }

  bool publish(uint64_t token, const event& x) {
    std::shared_ptr<natsConnection> to;
    {
      std::lock_guard guard{mutex_};
      if (!up_)
        return false;
      to = connection_;
    }
    const auto reply = inbox_ + "." + std::to_string(token);
    natsMsg* made = nullptr;
    if (natsMsg_Create(&made, x.subject.c_str(), reply.c_str(), x.payload.data(),
                       static_cast<int>(x.payload.size())) != NATS_OK)
      return false;
    const owned<natsMsg> message{made};
    return natsMsgHeader_Set(made, "Nats-Msg-Id", x.id.c_str()) == NATS_OK &&
           natsConnection_PublishMsg(to.get(), made) == NATS_OK;
  }

private:
  using lock = std::unique_lock<std::mutex>;

  // The thread.

  void run() {
    int attempts = 0;
    while (!is_stopped()) {
      if (!connect()) {
        if (++attempts == 1)
          give_up_for_now();
        if (with_.max_reconnect >= 0 && attempts > with_.max_reconnect) {
          log::error("NATS: no more attempts to connect",
                     {{"attempts", attempts}});
          wait_for(std::chrono::hours{24 * 365}, [] { return false; });
          return;
        }
        wait_for(reconnect_delay(attempts - 1, draw()), [] { return false; });
        continue;
      }
      attempts = 0;
      serve();
      close();
    }
  }

  bool connect() {
    natsOptions* made = nullptr;
    if (natsOptions_Create(&made) != NATS_OK)
      return false;
    const owned<natsOptions> with{made};
    std::vector<const char*> servers;
    for (const auto& x : with_.servers)
      servers.push_back(x.c_str());
    const auto attempts = with_.max_reconnect < 0
                              ? std::numeric_limits<int>::max()
                              : static_cast<int>(std::min<int64_t>(
                                    with_.max_reconnect, std::numeric_limits<int>::max()));
    auto ok = natsOptions_SetServers(made, servers.data(), static_cast<int>(servers.size()));
    const auto also = [&ok](natsStatus x) { ok = ok == NATS_OK ? x : ok; };
    also(natsOptions_SetName(made, with_.name.c_str()));
    also(natsOptions_SetTimeout(made, milliseconds(limits::bus_connect)));
    also(natsOptions_SetMaxReconnect(made, attempts));
    also(natsOptions_SetCustomReconnectDelay(made, &impl::on_delay, this));
    also(natsOptions_SetPingInterval(made, milliseconds(limits::bus_ping)));
    also(natsOptions_SetMaxPingsOut(made, 2));
    also(natsOptions_SetWriteDeadline(made, milliseconds(limits::bus_write)));
    also(natsOptions_SetDisconnectedCB(made, &impl::on_disconnected, this));
    also(natsOptions_SetReconnectedCB(made, &impl::on_reconnected, this));
    also(natsOptions_SetClosedCB(made, &impl::on_closed, this));
    natsConnection* opened = nullptr;
    if (ok == NATS_OK)
      ok = natsConnection_Connect(&opened, made);
    if (ok != NATS_OK) {
      say_once("NATS: cannot connect", text_of(ok));
      return false;
    }
    std::shared_ptr<natsConnection> fresh{opened, destroy{}};
    natsInbox* inbox = nullptr;
    ok = natsInbox_Create(&inbox);
    if (ok == NATS_OK) {
      inbox_ = inbox;
      natsInbox_Destroy(inbox);
      natsSubscription* heard = nullptr;
      ok = natsConnection_Subscribe(&heard, opened, (inbox_ + ".*").c_str(), &impl::on_answer, this);
      answers_.reset(heard);
    }
    if (ok == NATS_OK)
      ok = natsSubscription_SetOnCompleteCB(answers_.get(), &impl::on_answers_over, this);
    lock guard{mutex_};
    closed_ = false;
    answers_over_ = answers_ == nullptr || ok != NATS_OK;
    connection_ = std::move(fresh);
    if (ok != NATS_OK) {
      guard.unlock();
      close();
      return false;
    }
    up_ = natsConnection_Status(opened) == NATS_CONN_STATUS_CONNECTED;
    said_.clear();
    log::info("NATS: connected");
    return true;
  }

  /// Until the connection is closed, or we are.
  void serve() {
    while (!is_stopped()) {
      lock guard{mutex_};
      if (closed_)
        return;
      const bool up = up_;
      const bool ready = ready_;
      guard.unlock();
      if (!up) {
        if (natsConnection_IsClosed(connection_.get()))
          return;  // before it had told us, even
        wait_for(limits::bus_probe, [this] { return closed_ || up_; });
      } else if (!ready) {
        const bool good = set_up();
        looked(good);
        if (good)
          become_ready();
        else
          wait_for(limits::bus_set_up_retry, [this] { return closed_ || !up_; });
      } else {
        wait_for(limits::bus_probe, [this] { return closed_ || !up_; });
        if (!is_stopped())
          looked(stream_answers());
      }
    }
  }

  void become_ready() {
    lock guard{mutex_};
    if (!up_ || ready_ || stopped_)
      return;
    ready_ = true;
    tell_.ready();
  }

  void give_up_for_now() {
    lock guard{mutex_};
    if (!stopped_)
      tell_.lost();
  }

  void looked(bool good) {
    lock guard{mutex_};
    if (up_ && !stopped_)
      tell_.looked(good);
  }

  void close() {
    {
      lock guard{mutex_};
      lose();
    }
    answers_.reset();
    natsConnection_Close(connection_.get());
    lock guard{mutex_};
    const bool over = changed_.wait_for(guard, close_within, [this] { return closed_ && answers_over_; });
    connection_.reset();
    if (!over)  // cnats may still call us: better to keep this for ever than to be gone
      new std::shared_ptr<impl>{shared_from_this()};
  }

  // JetStream's API, on the thread.

  api_answer ask(const std::string& what, const std::string& request) {
    natsMsg* got = nullptr;
    const auto subject = "$JS.API.STREAM." + what;
    const auto ok = natsConnection_RequestString(&got, connection_.get(), subject.c_str(),
                                                 request.c_str(), milliseconds(limits::bus_api));
    const owned<natsMsg> answer{got};
    if (ok != NATS_OK || got == nullptr)
      return {{}, 503, std::string{text_of(ok)}};
    return parse_api_answer(body_of(got));
  }

  bool stream_answers() { return ask("INFO." + with_.stream, "").code == 0; }

  bool set_up() {
    return std::all_of(streams_.begin(), streams_.end(),
                       [this](const stream& x) { return !is_stopped() && set_up(x); });
  }

  bool set_up(const stream& x) {
    auto known = ask("INFO." + x.name, "");
    if (known.code == 404) {
      known = ask("CREATE." + x.name, create_request(x));
      if (known.code == 0)
        log::info("NATS: stream created", {{"stream", x.name}});
    } else if (known.code == 0) {
      adapt(x, known);
    }
    if (known.code != 0)
      say_once("NATS: a stream cannot be set up", x.name + ": " + known.error);
    return known.code == 0;
  }

  /// A stream that is there is good enough; what differs is added where nothing is lost by it.
  void adapt(const stream& x, const api_answer& known) {
    const auto* config = known.body.if_contains("config");
    if (config == nullptr || !config->is_object())
      return;
    const auto found = compare(x, config->as_object());
    for (const auto& difference : found.left)
      say_once("NATS: a stream differs", x.name + ": " + difference);
    if (!found.update)
      return;
    const auto done = ask("UPDATE." + x.name, *found.update);
    if (done.code == 0)
      log::info("NATS: stream updated", {{"stream", x.name}});
    else
      say_once("NATS: a stream cannot be updated", x.name + ": " + done.error);
  }

  /// The same trouble is told of once, not at every attempt.
  void say_once(std::string_view what, std::string_view why) {
    auto line = std::string{what} + ": " + std::string{why};
    if (std::find(said_.begin(), said_.end(), line) != said_.end())
      return;
    log::warn(what, {{"reason", why}});
    said_.push_back(std::move(line));
  }

  // Waiting.

  bool is_stopped() {
    lock guard{mutex_};
    return stopped_;
  }

  template <class Condition>
  void wait_for(std::chrono::milliseconds time, Condition met) {
    lock guard{mutex_};
    changed_.wait_for(guard, time, [&] { return stopped_ || met(); });
  }

  /// Under the lock.
  void lose() {
    up_ = false;
    if (std::exchange(ready_, false) && !stopped_)
      tell_.lost();
    changed_.notify_all();
  }

  // cnats' threads.

  static int64_t on_delay(natsConnection*, int attempts, void*) {
    return milliseconds(reconnect_delay(attempts - 1, draw()));
  }

  static void on_disconnected(natsConnection*, void* self) {
    auto& x = *static_cast<impl*>(self);
    lock guard{x.mutex_};
    if (x.up_)
      log::warn("NATS: disconnected");
    x.lose();
  }

  static void on_reconnected(natsConnection*, void* self) {
    auto& x = *static_cast<impl*>(self);
    log::info("NATS: connected again");
    lock guard{x.mutex_};
    x.up_ = true;
    x.changed_.notify_all();
  }

  static void on_closed(natsConnection*, void* self) {
    auto& x = *static_cast<impl*>(self);
    lock guard{x.mutex_};
    x.closed_ = true;
    x.lose();
  }

  static void on_answers_over(void* self) {
    auto& x = *static_cast<impl*>(self);
    lock guard{x.mutex_};
    x.answers_over_ = true;
    x.changed_.notify_all();
  }

  static void on_answer(natsConnection*, natsSubscription*, natsMsg* got, void* self) {
    const owned<natsMsg> answer{got};
    const std::string_view subject = natsMsg_GetSubject(got);
    const auto number = subject.substr(subject.rfind('.') + 1);
    uint64_t token = 0;
    if (std::from_chars(number.data(), number.data() + number.size(), token).ec != std::errc{})
      return;
    static_cast<impl*>(self)->tell_.answered(token, kind_of(got));
  }

  const options with_;
  const std::vector<stream> streams_;
  const callbacks tell_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  bool up_ = false;     // cnats says so
  bool ready_ = false;  // and the streams are there
  bool closed_ = true;
  bool answers_over_ = true;
  std::shared_ptr<natsConnection> connection_;

  std::string inbox_;  // written before `up_`
  owned<natsSubscription> answers_;
  std::vector<std::string> said_;

  std::promise<void> ended_;
  std::future<void> over_ = ended_.get_future();
  std::thread thread_;
};

connection::connection(options with, callbacks tell)
    : impl_{std::make_shared<impl>(std::move(with), std::move(tell))} {
  impl_->start();
}

connection::~connection() { stop(); }

bool connection::publish(uint64_t token, const event& x) { return impl_->publish(token, x); }

void connection::stop() { impl_->stop(); }

}  // namespace kgents::runtime::bus
