/* TLS by OpenSSL 1.1.1 or later. The certificate of the server is verified, and so is its name. */
#include "wire.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static bool fail(struct wire *wire)
{
    unsigned long error = ERR_peek_error();
    const char *text = error == 0 ? NULL : ERR_reason_error_string(error);

    ERR_clear_error();
    wire_fail(wire, text != NULL ? text : "TLS failed");
    return false;
}

/* Without a file of its own, OpenSSL reads SSL_CERT_FILE, or the authorities of the system. */
static bool make_context(struct wire *wire)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL)
        return fail(wire);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if ((wire->ca_file != NULL ? SSL_CTX_load_verify_locations(context, wire->ca_file, NULL)
                               : SSL_CTX_set_default_verify_paths(context)) != 1) {
        SSL_CTX_free(context);
        ERR_clear_error();
        (void)snprintf(wire->reason, sizeof wire->reason, "no certificate can be read from %s",
                       wire->ca_file != NULL ? wire->ca_file : "the system's authorities");
        return false;
    }
    wire->context = context;
    return true;
}

bool tls_start(struct wire *wire)
{
    struct in6_addr address;
    SSL *session;
    bool is_set;

    if (wire->context == NULL && !make_context(wire))
        return false;
    session = SSL_new(wire->context);
    if (session == NULL)
        return fail(wire);
    wire->session = session;
    if (inet_pton(AF_INET, wire->host, &address) == 1 ||
        inet_pton(AF_INET6, wire->host, &address) == 1)
        is_set = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), wire->host) == 1;
    else
        is_set = SSL_set1_host(session, wire->host) == 1 &&
                 SSL_set_tlsext_host_name(session, wire->host) == 1;
    return is_set && SSL_set_fd(session, wire->fd) == 1 ? true : fail(wire);
}

static enum wire_result result_of(struct wire *wire, int returned)
{
    long verified;

    switch (SSL_get_error(wire->session, returned)) {
    case SSL_ERROR_WANT_READ:
        return WIRE_WAIT_READ;
    case SSL_ERROR_WANT_WRITE:
        return WIRE_WAIT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        wire_fail(wire, "the server closed the connection");
        return WIRE_FAILED;
    default:
        break;
    }
    verified = SSL_get_verify_result(wire->session);
    if (verified != X509_V_OK) {
        ERR_clear_error();
        (void)snprintf(wire->reason, sizeof wire->reason,
                       "the certificate of the server is not trusted: %s",
                       X509_verify_cert_error_string(verified));
    } else if (ERR_peek_error() == 0) {
        wire_fail(wire, "the connection broke");
    } else {
        (void)fail(wire);
    }
    return WIRE_FAILED;
}

enum wire_result tls_handshake(struct wire *wire)
{
    int returned;

    ERR_clear_error();
    returned = SSL_connect(wire->session);
    return returned == 1 ? WIRE_OK : result_of(wire, returned);
}

enum wire_result tls_read(struct wire *wire, void *data, size_t size, size_t *taken)
{
    int returned;

    ERR_clear_error();
    returned = SSL_read(wire->session, data, size > 16384 ? 16384 : (int)size);
    if (returned <= 0)
        return result_of(wire, returned);
    *taken = (size_t)returned;
    return WIRE_OK;
}

enum wire_result tls_write(struct wire *wire, const void *data, size_t size, size_t *taken)
{
    int returned;

    ERR_clear_error();
    returned = SSL_write(wire->session, data, size > 16384 ? 16384 : (int)size);
    if (returned <= 0)
        return result_of(wire, returned);
    *taken = (size_t)returned;
    return WIRE_OK;
}

void tls_stop(struct wire *wire)
{
    SSL_free(wire->session);
    wire->session = NULL;
}

void tls_free(struct wire *wire)
{
    SSL_CTX_free(wire->context);
    wire->context = NULL;
}
