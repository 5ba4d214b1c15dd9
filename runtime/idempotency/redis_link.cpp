#include "runtime/idempotency/redis_link.hpp"

#include <hiredis/hiredis.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

#include "runtime/idempotency/limits.hpp"

namespace kgents::runtime::idempotency {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

namespace {

/// A reply that grows beyond this is none of ours: the longest holds an answer of `answer_bytes`.
constexpr size_t most_reply_bytes = 16 * answer_bytes;

redis_reply take(const redisReply& x) {
  using kind = redis_reply::kind;
  redis_reply out;
  switch (x.type) {
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:
      out.is = x.type == REDIS_REPLY_ERROR ? kind::error : kind::text;
      out.text.assign(x.str, static_cast<size_t>(x.len));
      break;
    case REDIS_REPLY_INTEGER:
      out.is = kind::number;
      out.number = x.integer;
      break;
    case REDIS_REPLY_ARRAY:
      out.is = kind::list;
      for (size_t i = 0; i < x.elements; ++i)
        out.list.push_back(take(*x.element[i]));
      break;
    default:
      break;
  }
  return out;
}

/// An error's first word ("WRONGPASS"): what follows may quote what was sent.
std::string first_word(std::string_view text) { return std::string{text.substr(0, text.find(' '))}; }

}  // namespace

redis_link::redis_link(asio::io_context& context, redis_address to,
                       std::shared_ptr<ssl::context> tls, callbacks tell)
    : to_{std::move(to)},
      tell_{std::move(tell)},
      resolver_{context},
      socket_{context},
      tls_context_{std::move(tls)},
      timer_{context},
      reader_{redisReaderCreate(), redisReaderFree} {}

redis_link::~redis_link() = default;

void redis_link::start() {
  connect_by_ = clock::now() + connect_deadline;
  watch();
  error ec;
  const auto address = asio::ip::make_address(to_.host, ec);
  if (!ec)  // an address needs no resolver, which would start a thread for it
    return connect(tcp::resolver::results_type::create(tcp::endpoint{address, to_.port}, to_.host,
                                                       std::to_string(to_.port)));
  resolver_.async_resolve(to_.host, std::to_string(to_.port), tcp::resolver::numeric_service,
                          [self = shared_from_this()](error wrong, auto found) {
                            self->resolved(wrong, std::move(found));
                          });
}

void redis_link::resolved(error ec, tcp::resolver::results_type found) {
  if (over_)
    return;
  if (ec)
    return lose("its host name is not known");
  connect(found);
}

void redis_link::connect(const tcp::resolver::results_type& found) {
  asio::async_connect(socket_, found, [self = shared_from_this()](error ec, const auto&) {
    if (self->over_)
      return;
    if (ec)
      return self->lose(ec.message());
    self->connected();
  });
}

void redis_link::connected() {
  error ignored;
  socket_.set_option(tcp::no_delay{true}, ignored);
  if (!to_.tls)
    return enter();
  tls_.emplace(socket_, *tls_context_);
  SSL_set_tlsext_host_name(tls_->native_handle(), to_.host.c_str());
  tls_->set_verify_callback(ssl::host_name_verification{to_.host});
  tls_->async_handshake(ssl::stream_base::client, [self = shared_from_this()](error ec) {
    if (self->over_)
      return;
    if (ec)
      return self->lose("TLS: " + ec.message());
    self->enter();
  });
}

void redis_link::enter() {
  read();
  const auto heard = [self = shared_from_this()](std::optional<redis_reply> x) {
    self->entered(x, false);
  };
  if (!to_.user.empty())
    send_by({"AUTH", to_.user, to_.password}, heard, connect_by_);
  else if (!to_.password.empty())
    send_by({"AUTH", to_.password}, heard, connect_by_);
  if (to_.database != 0)
    send_by({"SELECT", std::to_string(to_.database)}, heard, connect_by_);
  send_by({"PING"}, [self = shared_from_this()](auto x) { self->entered(x, true); }, connect_by_);
}

void redis_link::entered(const std::optional<redis_reply>& answer, bool last) {
  if (over_ || !answer)
    return;
  if (answer->is == redis_reply::kind::error)
    return lose("refused: " + first_word(answer->text));
  if (!last)
    return;
  ready_ = true;
  watch();
  tell_.ready();
}

void redis_link::send(std::initializer_list<std::string_view> command, on_reply done) {
  send_by(command, std::move(done), clock::now() + command_deadline);
}

void redis_link::send_by(std::initializer_list<std::string_view> command, on_reply done,
                         clock::time_point due) {
  if (over_)
    return done(std::nullopt);
  std::vector<const char*> words;
  std::vector<size_t> sizes;
  for (const auto x : command) {
    words.push_back(x.data());
    sizes.push_back(x.size());
  }
  char* text = nullptr;
  const int size = redisFormatCommandArgv(&text, static_cast<int>(words.size()), words.data(),
                                          sizes.data());
  const std::unique_ptr<char, void (*)(char*)> freed{text, redisFreeCommand};
  if (size < 0)
    return done(std::nullopt);
  unsent_.append(text, static_cast<size_t>(size));
  waiting_.push_back({std::move(done), due});
  write();
  if (waiting_.size() == 1)
    watch();
}

void redis_link::write() {
  if (over_ || !sending_.empty() || unsent_.empty())
    return;
  sending_.swap(unsent_);
  auto written = [self = shared_from_this()](error ec, size_t) {
    self->sending_.clear();
    if (self->over_)
      return;
    if (ec)
      return self->lose(ec.message());
    self->write();
  };
  if (tls_)
    asio::async_write(*tls_, asio::buffer(sending_), std::move(written));
  else
    asio::async_write(socket_, asio::buffer(sending_), std::move(written));
}

void redis_link::read() {
  auto heard = [self = shared_from_this()](error ec, size_t bytes) {
    if (self->over_)
      return;
    if (ec)
      return self->lose(ec == asio::error::eof ? "the connection was closed" : ec.message());
    self->took(bytes);
  };
  if (tls_)
    tls_->async_read_some(asio::buffer(input_), std::move(heard));
  else
    socket_.async_read_some(asio::buffer(input_), std::move(heard));
}

void redis_link::took(size_t bytes) {
  const auto keep = shared_from_this();  // an answer may let go of the last one
  if (redisReaderFeed(reader_.get(), input_.data(), bytes) != REDIS_OK)
    return lose("its answer is malformed");
  for (;;) {
    void* found = nullptr;
    if (redisReaderGetReply(reader_.get(), &found) != REDIS_OK)
      return lose("its answer is malformed");
    if (found == nullptr)
      break;
    const std::unique_ptr<void, void (*)(void*)> freed{found, freeReplyObject};
    if (waiting_.empty())
      return lose("an answer that nobody asked for");
    auto done = std::move(waiting_.front().done);
    waiting_.pop_front();
    done(take(*static_cast<const redisReply*>(found)));
    if (over_)
      return;
  }
  if (reader_->len > most_reply_bytes)
    return lose("its answer is too long");
  watch();
  read();
}

/// Sets the alarm to what is due next.
void redis_link::watch() {
  if (over_)
    return;
  if (ready_ && waiting_.empty()) {
    timer_.cancel();
    return;
  }
  timer_.expires_at(ready_ ? waiting_.front().due : connect_by_);
  timer_.async_wait([self = shared_from_this()](error ec) {
    if (ec || self->over_)
      return;
    const auto due = !self->ready_                ? self->connect_by_
                     : !self->waiting_.empty() ? self->waiting_.front().due
                                                  : clock::time_point::max();
    if (clock::now() >= due)
      self->lose("no answer in time");
  });
}

void redis_link::close() {
  if (over_)
    return;
  over_ = true;
  tell_ = {};
  error ignored;
  resolver_.cancel();
  timer_.cancel();
  socket_.close(ignored);
  auto left = std::move(waiting_);
  for (auto& x : left)
    x.done(std::nullopt);
}

void redis_link::lose(const std::string& why) {
  const auto keep = shared_from_this();
  const auto lost = std::move(tell_.lost);
  close();
  if (lost)
    lost(why);
}

}  // namespace kgents::runtime::idempotency
