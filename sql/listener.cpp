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
        channel_{std::move(options.channel)},
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

  void connected() override {
    auto* quoted = PQescapeIdentifier(pg(), channel_.data(), channel_.size());
    const bool sent =
        quoted != nullptr && PQsendQuery(pg(), ("LISTEN " + std::string{quoted}).c_str()) == 1;
    PQfreemem(quoted);
    if (!sent)
      return lost(true);
    writable();
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
      if (result == nullptr)
        break;
      const bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
      PQclear(result);
      if (!done)
        return lost(true);  // it may not LISTEN, or the server ends the connection
      settled();
      events_.listening();
      if (stopped_)
        return;
    }
    while (auto* x = PQnotifies(pg())) {
      const std::string payload{x->extra};
      PQfreemem(x);
      events_.notified(payload);
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
  const std::string channel_;
  listener_events events_;
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
