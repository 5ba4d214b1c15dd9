// The one translation unit that holds Beast's code and Asio's TLS part
// (BOOST_*_SEPARATE_COMPILATION).
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
