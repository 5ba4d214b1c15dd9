#include "actors/llm/http_stream_client.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

namespace kgents::llm {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;

namespace {

// What the kernel may hold for us while we do not read. Without it the window grows to megabytes a
// stream.
constexpr int receive_window_bytes = 64 * 1024;

}  // namespace

std::shared_ptr<ssl::context> make_tls_client(const std::string& ca_file) {
  auto out = std::make_shared<ssl::context>(ssl::context::tls_client);
  out->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                   ssl::context::no_tlsv1_1);
  out->set_verify_mode(ssl::verify_peer);
  if (ca_file.empty())
    out->set_default_verify_paths();
  else
    out->load_verify_file(ca_file);
  return out;
}

http_stream_client::http_stream_client(asio::io_context& context, http_url url,
                                       std::shared_ptr<ssl::context> tls, std::string request,
                                       listener& owner)
    : url_{std::move(url)},
      tls_context_{std::move(tls)},
      request_{std::move(request)},
      owner_{&owner},
      resolver_{context},
      socket_{context} {}

void http_stream_client::start() {
  error ec;
  const auto address = asio::ip::make_address(url_.host, ec);
  if (ec)
    return resolve();
  // An address needs no resolver, which would start a thread for it.
  endpoints_ = {{address, static_cast<uint16_t>(std::stoi(url_.port))}};
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->connect(0); });
}

void http_stream_client::resolve() {
  resolver_.async_resolve(url_.host, url_.port, tcp::resolver::numeric_service,
                          [self = shared_from_this()](error ec, tcp::resolver::results_type found) {
                            if (ec)
                              return self->fail(http_fault::unresolved);
                            for (const auto& x : found)
                              self->endpoints_.push_back(x.endpoint());
                            self->connect(0);
                          });
}

void http_stream_client::connect(size_t index) {
  if (owner_ == nullptr)
    return;
  if (index == endpoints_.size())
    return fail(http_fault::refused);
  const auto& endpoint = endpoints_[index];
  error ec;
  socket_.close(ec);
  socket_.open(endpoint.protocol(), ec);
  if (ec)
    return connect(index + 1);
  socket_.set_option(asio::socket_base::receive_buffer_size{receive_window_bytes}, ec);
  socket_.set_option(tcp::no_delay{true}, ec);
  socket_.async_connect(endpoint, [self = shared_from_this(), index](error ec) {
    if (self->owner_ == nullptr)
      return;
    if (ec)
      self->connect(index + 1);
    else if (self->url_.tls)
      self->handshake();
    else
      self->send();
  });
}

void http_stream_client::handshake() {
  tls_.emplace(socket_, *tls_context_);
  error ec;
  const bool is_address = (asio::ip::make_address(url_.host, ec), !ec);
  // RFC 6066, 3: server_name carries names only.
  if (!is_address && SSL_set_tlsext_host_name(tls_->native_handle(), url_.host.c_str()) != 1)
    return fail(http_fault::tls);
  tls_->set_verify_callback(ssl::host_name_verification{url_.host}, ec);
  if (ec)
    return fail(http_fault::tls);
  tls_->async_handshake(ssl::stream_base::client, [self = shared_from_this()](error ec) {
    if (ec)
      self->fail(http_fault::tls);
    else
      self->send();
  });
}

void http_stream_client::send() {
  if (owner_ == nullptr)
    return;
  owner_->on_connected();
  with_stream([this](auto& stream) {
    asio::async_write(stream, asio::buffer(request_), [self = shared_from_this()](error, size_t) {
      self->request_ = {};
      // A failed write is no failure yet: a server may refuse before it has read everything.
      self->receive();
    });
  });
}

void http_stream_client::read() {
  if (response_.done())
    asio::post(socket_.get_executor(), [self = shared_from_this()] { self->received({}, 0); });
  else if (!body_.empty())  // came with the header
    asio::post(socket_.get_executor(), [self = shared_from_this()] { self->received({}, 0); });
  else
    receive();
}

void http_stream_client::receive() {
  if (owner_ == nullptr)
    return;
  with_stream([this](auto& stream) {
    stream.async_read_some(
        asio::buffer(buffer_),
        [self = shared_from_this()](error ec, size_t count) { self->received(ec, count); });
  });
}

void http_stream_client::received(error ec, size_t count) {
  if (owner_ == nullptr)
    return;
  if (count > 0 && !response_.feed({buffer_.data(), count}, body_))
    return fail(http_fault::malformed);
  // A TLS peer that leaves without close_notify looks like this too; the framing tells whether
  // something is missing.
  if (ec && !response_.end_of_stream())
    return fail(http_fault::cut);
  if (!response_.header_done())
    return receive();
  if (!header_told_) {
    header_told_ = true;
    return owner_->on_header(response_.header());
  }
  const auto bytes = std::exchange(body_, {});
  owner_->on_body(bytes, response_.done());
}

void http_stream_client::fail(http_fault fault) {
  if (owner_ != nullptr)
    owner_->on_fault(fault);
}

void http_stream_client::close() {
  owner_ = nullptr;
  resolver_.cancel();
  error ec;
  socket_.close(ec);
}

}  // namespace kgents::llm
