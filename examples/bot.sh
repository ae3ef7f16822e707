#!/bin/sh
# “磁盘”、“时间”：要的都在 WX_ 开头的变量里，不必读 stdin。
case $WX_CONTENT in
    磁盘) df -h / | awk 'NR == 2 { print "已用 " $5 "，剩余 " $4 }' ;;
    时间) TZ=Asia/Shanghai date +%H:%M ;;
    *) echo "没有这个命令：$WX_CONTENT" >&2; exit 1 ;;
esac
