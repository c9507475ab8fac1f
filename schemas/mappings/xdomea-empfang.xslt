<?xml version="1.0" encoding="UTF-8"?>
<!--
  Empfangsbestätigungen nach xdomea 2.4 und 3.0 zu Anbieteverzeichnis (0501: 0504), Bewertungsverzeichnis (0502: 0505) und
  Aussonderung (0503: 0507, nur 3.0), in der Version der Nachricht. In der manifest.toml des Pakets eintragen:

      [answers]
      acknowledgement = "xdomea-empfang.xslt"
      roots = ["Aussonderung.AnbietungEmpfangBestaetigen.0504", "Aussonderung.BewertungEmpfangBestaetigen.0505",
               "Aussonderung.AussonderungEmpfangBestaetigen.0507"]
-->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="xml" encoding="UTF-8" indent="yes"/>
  <xsl:param name="created"/>
  <xsl:param name="reference"/>
  <xsl:param name="received_on"/>
  <xsl:param name="product"/>
  <xsl:param name="product_version"/>

  <xsl:template match="/*[local-name() = 'Aussonderung.Anbieteverzeichnis.0501']">
    <xsl:call-template name="empfang">
      <xsl:with-param name="name">Aussonderung.AnbietungEmpfangBestaetigen</xsl:with-param>
      <xsl:with-param name="code">0504</xsl:with-param>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="/*[local-name() = 'Aussonderung.Bewertungsverzeichnis.0502']">
    <xsl:call-template name="empfang">
      <xsl:with-param name="name">Aussonderung.BewertungEmpfangBestaetigen</xsl:with-param>
      <xsl:with-param name="code">0505</xsl:with-param>
    </xsl:call-template>
  </xsl:template>

  <!-- 2.4 kennt zur Aussonderung nur die Importbestätigung, und die kann nur das Archiv geben. -->
  <xsl:template match="/*[local-name() = 'Aussonderung.Aussonderung.0503'][contains(namespace-uri(), ':schema:3.')]">
    <xsl:call-template name="empfang">
      <xsl:with-param name="name">Aussonderung.AussonderungEmpfangBestaetigen</xsl:with-param>
      <xsl:with-param name="code">0507</xsl:with-param>
    </xsl:call-template>
  </xsl:template>

  <xsl:template match="/*" priority="-1"/>

  <!-- Derselbe Prozess; wer empfangen hat, sendet. -->
  <xsl:template name="empfang">
    <xsl:param name="name"/>
    <xsl:param name="code"/>
    <xsl:variable name="xdomea" select="namespace-uri()"/>
    <xsl:variable name="kopf" select="*[local-name() = 'Kopf']"/>
    <xsl:element name="xdomea:{$name}.{$code}" namespace="{$xdomea}">
      <xsl:element name="xdomea:Kopf" namespace="{$xdomea}">
        <xsl:apply-templates select="$kopf/*[local-name() = 'ProzessID']" mode="kopie"/>
        <xsl:element name="xdomea:Nachrichtentyp" namespace="{$xdomea}">
          <code><xsl:value-of select="$code"/></code>
        </xsl:element>
        <xsl:element name="xdomea:Erstellungszeitpunkt" namespace="{$xdomea}"><xsl:value-of select="$created"/></xsl:element>
        <xsl:element name="xdomea:Absender" namespace="{$xdomea}">
          <xsl:apply-templates select="$kopf/*[local-name() = 'Empfaenger']/*" mode="kopie"/>
        </xsl:element>
        <xsl:element name="xdomea:Empfaenger" namespace="{$xdomea}">
          <xsl:apply-templates select="$kopf/*[local-name() = 'Absender']/*" mode="kopie"/>
        </xsl:element>
        <xsl:element name="xdomea:SendendesSystem" namespace="{$xdomea}">
          <xsl:element name="xdomea:Produktname" namespace="{$xdomea}"><xsl:value-of select="$product"/></xsl:element>
          <xsl:element name="xdomea:Version" namespace="{$xdomea}"><xsl:value-of select="$product_version"/></xsl:element>
        </xsl:element>
        <xsl:element name="xdomea:Hinweis" namespace="{$xdomea}">
          <xsl:text>Eingegangen am </xsl:text><xsl:value-of select="$received_on"/>
          <xsl:text>, Eingangsnummer </xsl:text><xsl:value-of select="$reference"/>
        </xsl:element>
      </xsl:element>
    </xsl:element>
  </xsl:template>

  <!-- Ohne die Namensräume, die die Nachricht sonst noch nennt. -->
  <xsl:template match="*" mode="kopie">
    <xsl:element name="{name()}" namespace="{namespace-uri()}">
      <xsl:copy-of select="@*"/>
      <xsl:apply-templates mode="kopie"/>
    </xsl:element>
  </xsl:template>
</xsl:stylesheet>
