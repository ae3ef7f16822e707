<?php
// What people write after the platform's own sample: signature, XML, keyword or echo; secure mode with openssl.
const TOKEN = 'benchtoken';
const APP_ID = 'wx0123456789abcdef';
const AES_KEY = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFE';
const REPLIES = ['ping' => 'pong'];

function sign(string ...$parts): string
{
    sort($parts, SORT_STRING);
    return sha1(implode('', $parts));
}

function open(string $encrypted): ?string
{
    $key = base64_decode(AES_KEY . '=');
    $plain = openssl_decrypt($encrypted, 'aes-256-cbc', $key, OPENSSL_ZERO_PADDING, substr($key, 0, 16));
    $plain = substr($plain, 0, strlen($plain) - ord(substr($plain, -1)));
    $length = unpack('N', substr($plain, 16, 4))[1];
    return substr($plain, 20 + $length) === APP_ID ? substr($plain, 20, $length) : null;
}

function seal(string $text): string
{
    $key = base64_decode(AES_KEY . '=');
    $plain = random_bytes(16) . pack('N', strlen($text)) . $text . APP_ID;
    $padding = 32 - strlen($plain) % 32;
    $plain .= str_repeat(chr($padding), $padding);
    return openssl_encrypt($plain, 'aes-256-cbc', $key, OPENSSL_ZERO_PADDING, substr($key, 0, 16));
}

function refuse(): never
{
    http_response_code(403);
    exit;
}

$timestamp = $_GET['timestamp'] ?? '';
$nonce = $_GET['nonce'] ?? '';
hash_equals(sign(TOKEN, $timestamp, $nonce), $_GET['signature'] ?? '') or refuse();
$secure = ($_GET['encrypt_type'] ?? '') === 'aes';
$message = simplexml_load_string(file_get_contents('php://input'), 'SimpleXMLElement', LIBXML_NOCDATA);
if ($secure) {
    $encrypted = (string) $message->Encrypt;
    hash_equals(sign(TOKEN, $timestamp, $nonce, $encrypted), $_GET['msg_signature'] ?? '') or refuse();
    $message = simplexml_load_string(open($encrypted) ?? refuse(), 'SimpleXMLElement', LIBXML_NOCDATA);
}
$content = trim((string) $message->Content);
$reply = sprintf(
    '<xml><ToUserName><![CDATA[%s]]></ToUserName><FromUserName><![CDATA[%s]]></FromUserName><CreateTime>%d</CreateTime>'
    . '<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[%s]]></Content></xml>',
    $message->FromUserName,
    $message->ToUserName,
    time(),
    REPLIES[$content] ?? $content
);
if ($secure) {
    $encrypted = seal($reply);
    $reply = sprintf(
        '<xml><Encrypt><![CDATA[%s]]></Encrypt><MsgSignature><![CDATA[%s]]></MsgSignature>'
        . '<TimeStamp>%s</TimeStamp><Nonce><![CDATA[%s]]></Nonce></xml>',
        $encrypted,
        sign(TOKEN, $timestamp, $nonce, $encrypted),
        $timestamp,
        $nonce
    );
}
header('Content-Type: application/xml');
echo $reply;
