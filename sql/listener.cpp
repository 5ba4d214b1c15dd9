#include "sql/listener.hpp"

#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "sql/link.hpp"

namespace kgents::sql {

class listener::impl final : public link {
public:
  impl(boost::asio::io_context& context, listener_options options, listener_events events)
      : link{context,
             {.url = std::move(options.url),
              .application_name = std::move(options.application_name),
              .connect_timeout = options.connect_timeout,
              .reconnect_min = options.reconnect_min,
              .reconnect_max = options.reconnect_max}},
        context_{context},
        channels_{std::move(options.channels)},
        events_{std::move(events)} {}

  void begin() {
    boost::asio::post(context_, [self = shared()] {
      if (!self->stopped_)
        self->start();
    });
  }

  void stop() {
    if (!stopped_.exchange(true))
      boost::asio::dispatch(context_, [self = shared()] { self->end(); });
  }

private:
  std::shared_ptr<impl> shared() { return std::static_pointer_cast<impl>(shared_from_this()); }

  enum class phase : uint8_t { asking, subscribing, hearing };

  /// First of all: who is at the other end? A pooler gives its clients made-up process ids, and has
  /// LISTEN take effect on a connection that others use next.
  void connected() override {
    phase_ = phase::asking;
    send("SELECT pg_backend_pid()");
  }

  void send(const std::string& text) {
    if (PQsendQuery(pg(), text.c_str()) == 1)
      writable();
    else
      lost(true);
  }

  /// False: it may not LISTEN, or the server ends the connection.
  bool take(const PGresult* x) {
    if (phase_ != phase::asking)
      return PQresultStatus(x) == PGRES_COMMAND_OK;
    if (PQresultStatus(x) != PGRES_TUPLES_OK || PQntuples(x) != 1)
      return false;
    pooled_ = PQgetvalue(x, 0, 0) != std::to_string(PQbackendPID(pg()));
    return true;
  }

  /// What was sent has been answered in full.
  void go_on() {
    if (phase_ == phase::subscribing) {
      phase_ = phase::hearing;
      settled();
      events_.listening();
    } else if (pooled_) {
      stop();
      events_.pooled();
    } else {
      phase_ = phase::subscribing;
      send(subscription());
    }
  }

  std::string subscription() {
    std::string out;
    for (const auto& x : channels_) {
      out += "LISTEN \"";
      for (const char c : x)
        out += c == '"' ? std::string{"\"\""} : std::string{c};
      out += "\";";
    }
    return out;
  }

  void writable() override {
    const int rest = PQflush(pg());
    if (rest < 0)
      lost(true);
    else if (rest > 0)
      wait_writable();
  }

  void readable() override {
    if (PQconsumeInput(pg()) != 1)
      return lost(false);
    while (PQisBusy(pg()) == 0) {
      auto* result = PQgetResult(pg());
      if (result == nullptr) {
        if (phase_ == phase::hearing)
          break;
        go_on();
        if (stopped_ || !up())
          return;
        continue;
      }
      const bool good = take(result);
      PQclear(result);
      if (!good)
        return lost(true);
    }
    while (auto* x = PQnotifies(pg())) {
      const std::string channel{x->relname};
      const std::string payload{x->extra};
      PQfreemem(x);
      events_.notified(channel, payload);
      if (stopped_)
        return;
    }
    if (PQstatus(pg()) == CONNECTION_BAD)
      return lost(false);
    wait_readable();
  }

  void lost(bool failed) {
    cut();
    retry_later(failed);
  }

  boost::asio::io_context& context_;
  const std::vector<std::string> channels_;
  listener_events events_;
  phase phase_ = phase::asking;
  bool pooled_ = false;
  std::atomic<bool> stopped_{false};
};

listener::listener(boost::asio::io_context& context, listener_options options,
                   listener_events events)
    : impl_{std::make_shared<impl>(context, std::move(options), std::move(events))} {
  impl_->begin();
}

listener::~listener() { impl_->stop(); }

void listener::stop() { impl_->stop(); }

}  // namespace kgents::sql
