<?php
// “算 3 4”：从 stdin 读 JSON，往 stdout 写文字。
$asked = json_decode(stream_get_contents(STDIN), true);
$numbers = array_map('floatval', preg_split('/\s+/', trim($asked['captures']['rest'])));
if (count($numbers) < 2) {
    echo '请发“算 3 4”';
    exit;
}
echo implode(' + ', $numbers) . ' = ' . array_sum($numbers);
