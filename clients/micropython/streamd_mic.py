"""Stream an I2S microphone to streamd: audio first, no `hello`. For MicroPython on an ESP32."""

import select
import socket

from machine import I2S, Pin

HOST, PORT, KEY = "192.168.1.10", 8765, "sk_..."
HEADERS = f"Host: {HOST}:{PORT}\r\nAuthorization: Bearer {KEY}\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: c3RyZWFtZCBleGFtcGxlIQ=="

pins = {"sck": Pin(14), "ws": Pin(15), "sd": Pin(32)}
mic = I2S(0, **pins, mode=I2S.RX, bits=16, format=I2S.MONO, rate=16000, ibuf=16000)
ws = socket.socket()
ws.connect(socket.getaddrinfo(HOST, PORT)[0][-1])
ws.write(f"GET /v1/stream HTTP/1.1\r\n{HEADERS}{UPGRADE}\r\n\r\n".encode())
while len(line := ws.readline()) > 2:
    print(line)  # HTTP/1.1 101 Switching Protocols
events, audio = select.poll(), bytearray(1280)
events.register(ws, select.POLLIN)
while size := mic.readinto(audio):
    ws.write(bytes([0x82, 0xFE, size >> 8, size & 255, 0, 0, 0, 0]) + audio[:size])
    while events.poll(0):
        kind, size = ws.read(2)
        text = ws.read(int.from_bytes(ws.read(2), "big") if size == 126 else size)
        if kind == 0x81:
            print(text.decode())
